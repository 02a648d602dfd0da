// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost/shipped.h"

#include <gtest/gtest.h>

#include "scheduler/cost/estimate.h"

namespace hyper::scheduler {
namespace {

const Instant when = *parse_instant("2026-11-23");

TEST(ShippedPrices, have_a_day_and_a_source_each) {
    ASSERT_GT(shipped_prices().lists().size(), 50u);
    for (const PriceList& list : shipped_prices().lists()) {
        EXPECT_LE(list.effective, when) << list.key.text();
        EXPECT_GE(list.effective, *parse_instant("2023-01-01")) << list.key.text();
        EXPECT_FALSE(list.source.empty()) << list.key.text();
        EXPECT_EQ(list.currency, "USD") << list.key.text();
    }
}

TEST(ShippedPrices, know_the_minimum_of_each_class_that_has_one) {
    for (const PriceList& list : shipped_prices().lists())
        if (list.key.family == "storage") {
            EXPECT_EQ(hours_min_of(list), days_min_of_class(list.key.vendor, list.key.sku) * 24) << list.key.text();
        }
}

TEST(ShippedPrices, price_a_sync_out_of_aws) {
    // 100 GiB: 204800 blocks, 0.6144; 21 pages, 0.0000126; 7.3741824 GB beyond the free ones, 0.663676416; 12802 writes, 0.06401
    constexpr int64_t bytes = int64_t{100} << 30;
    auto estimate = estimate_syncs(shipped_prices(), {.from = *parse_place("aws:us-east-1"), .to = *parse_place("gcp:us-central1/standard"), .changed_bytes = bytes, .sent_bytes = bytes}, when);
    ASSERT_TRUE(estimate) << estimate.error().message;
    EXPECT_EQ(money_text(estimate->totals.at("USD")), "1.342099016");
}

TEST(ShippedPrices, give_way_to_newer_ones_and_to_those_of_the_same_day) {
    auto own = CsvTable::parse(
                   "vendor,service,family,region,sku,attributes,purchase_option,unit,start,end,price,currency,effective,source\n"
                   "aws,ebs,snapshot,us-east-1,standard,,,GiB-month,0,,0.06,USD,2026-11-01,mine\n"
                   "gcp,pd,snapshot,us-central1,standard,,,GiB-month,0,,0.07,USD,2026-11-20,mine\n",
                   "own.csv")
                   .and_then([](const CsvTable& table) { return Prices::read(table); });
    ASSERT_TRUE(own) << own.error().message;
    Prices prices = shipped_prices();
    prices.add(*own);
    PriceKey aws = snapshot_key({"aws", "us-east-1", ""}, "standard"), gcp = snapshot_key({"gcp", "us-central1", ""}, "standard");
    EXPECT_EQ(money_text((*prices.find(aws, when))->tiers[0].price), "0.06") << "of the same day";
    EXPECT_EQ(money_text((*prices.find(gcp, when))->tiers[0].price), "0.07");
    EXPECT_EQ(money_text((*prices.find(gcp, *parse_instant("2026-11-19")))->tiers[0].price), "0.05") << "until then the old one";
    EXPECT_EQ(prices.lists().size(), shipped_prices().lists().size() + 1);
}

}  // namespace
}  // namespace hyper::scheduler
