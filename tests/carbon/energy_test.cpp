// SPDX-License-Identifier: Apache-2.0
#include "carbon/energy.h"

#include <gtest/gtest.h>

#include "blockengine/base/csv.h"
#include "carbon/tables.h"

namespace hyper::carbon {
namespace {

using namespace std::chrono;

TEST(Energy, has_coefficients_in_order_and_each_with_its_source) {
    auto table = CsvTable::parse(energy_coefficients_csv, "energy-coefficients.csv");
    ASSERT_TRUE(table) << table.error().message;
    for (size_t row = 0; row < table->row_count(); row++) {
        auto value = coefficient(table->cell(row, 0));
        ASSERT_TRUE(value);
        EXPECT_GT(value->low, 0) << table->cell(row, 0);
        EXPECT_LE(value->low, value->middle) << table->cell(row, 0);
        EXPECT_LE(value->middle, value->high) << table->cell(row, 0);
        EXPECT_FALSE(table->cell(row, 5).empty()) << table->cell(row, 0);
    }
    EXPECT_FALSE(coefficient("wishes"));
}

// 1 TB from AWS to a place of our own: 2 vCPU-hours there, an hour of a server here, 1 TB written for an hour.
TEST(Energy, of_a_sync_is_both_ends_and_the_line) {
    auto energy = energy_of_sync({.place = "aws", .cpu_hours = 2}, {.place = "onprem", .cpu_hours = 1, .disk_tb_hours = 1}, 1'000'000'000'000);
    ASSERT_TRUE(energy) << energy.error().message;
    EXPECT_NEAR(energy->source.middle, 1.135 * 2 * 2.12 / 1000, 1e-12);
    EXPECT_NEAR(energy->target.middle, 1.58 * (216.4 + 1.2) / 1000, 1e-12);
    EXPECT_NEAR(energy->network.middle, 1, 1e-12);
    EXPECT_NEAR(energy->network.low, 0.2, 1e-12);
    EXPECT_NEAR(energy->network.high, 6, 1e-12);
    EXPECT_NEAR(energy->total().middle, energy->source.middle + energy->target.middle + 1, 1e-12);
    EXPECT_TRUE(energy_of_sync({.place = "oci"}, {.place = "alibaba"}, 1));
    EXPECT_FALSE(energy_of_sync({.place = "moon"}, {}, 1));
}

TEST(Energy, emits_what_the_grid_did_over_the_run) {
    Instant start{};
    AverageSeries dirty(StepSeries(start, hours(1), {100, 300})), clean(StepSeries(start, hours(1), {10, 20}));
    SyncEnergy energy{.source = {1, 2, 3}, .target = {1, 1, 1}, .network = {2, 4, 8}};
    auto grams = grams_of_run(energy, dirty, clean, start + minutes(30), start + minutes(90));
    ASSERT_TRUE(grams);
    EXPECT_DOUBLE_EQ(grams->middle, 2 * 200 + 1 * 15 + 4 * 107.5);
    EXPECT_DOUBLE_EQ(grams->low, 1 * 200 + 1 * 15 + 2 * 107.5);
    EXPECT_FALSE(grams_of_run(energy, dirty, clean, start, start + hours(3))) << "not known to the end";
}

}  // namespace
}  // namespace hyper::carbon
