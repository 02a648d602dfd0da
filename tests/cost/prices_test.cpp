// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost/prices.h"

#include <gtest/gtest.h>

namespace hyper::scheduler {
namespace {

constexpr std::string_view header = "vendor,service,family,region,sku,attributes,purchase_option,unit,start,end,price,currency,effective,source\n";

Result<Prices> read(std::string_view rows) { return Prices::read(TRY(CsvTable::parse(std::string(header) + std::string(rows), "prices.csv"))); }

const PriceKey key{"v", "s", "f", "r", "k"};

TEST(Prices, are_those_of_the_day) {
    auto prices = read("v,s,f,r,k,,,GB,0,,0.1,USD,2025-01-01,a\nv,s,f,r,k,,,GB,0,,0.2,USD,2026-01-01,b\n");
    ASSERT_TRUE(prices) << prices.error().message;
    EXPECT_EQ((*prices->find(key, *parse_instant("2025-12-31T23:59:59Z")))->source, "a");
    EXPECT_EQ((*prices->find(key, *parse_instant("2026-01-01")))->source, "b");
    EXPECT_EQ(prices->find(key, *parse_instant("2024-12-31")).error().message, "no price of v/s/f/r/k on 2024-12-31 (import a price file)");
}

TEST(Prices, refuse_tiers_that_leave_something_out) {
    EXPECT_FALSE(read("v,s,f,r,k,,,GB,1,,0.1,USD,2025-01-01,a\n")) << "nothing from 0";
    EXPECT_FALSE(read("v,s,f,r,k,,,GB,0,10,0.1,USD,2025-01-01,a\n")) << "nothing from 10";
    EXPECT_FALSE(read("v,s,f,r,k,,,GB,0,10,0.1,USD,2025-01-01,a\nv,s,f,r,k,,,GB,11,,0.1,USD,2025-01-01,a\n"));
    EXPECT_FALSE(read("v,s,f,r,k,,,GB,0,,0.1,USD,2025-01-01,a\nv,s,f,r,k,,,GB,5,,0.1,USD,2025-01-01,a\n"));
    EXPECT_FALSE(read("v,s,f,r,k,,,GB,0,10,0.1,USD,2025-01-01,a\nv,s,f,r,k,,,GB,10,,0.1,EUR,2025-01-01,a\n"));
    EXPECT_FALSE(read("v,s,f,r,k,,,Gb,0,,0.1,USD,2025-01-01,a\n")) << "bits";
    EXPECT_FALSE(read("v,s,f,r,k,,,GB,0,,cheap,USD,2025-01-01,a\n"));
}

TEST(Unit, keeps_GB_and_GiB_apart) {
    EXPECT_EQ(find_unit("GB")->base_per_unit, 1'000'000'000);
    EXPECT_EQ(find_unit("GiB")->base_per_unit, 1'073'741'824);
    EXPECT_EQ(find_unit("GiB-month")->base_per_unit, 1'073'741'824ll * 730);
    EXPECT_FALSE(find_unit("gb"));
}

}  // namespace
}  // namespace hyper::scheduler
