// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/settle.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/carbon_feeds/scratch.h"

namespace hyper::hyperd {

namespace {

using scheduler::CarbonRule;
using scheduler::RunRow;

// Hours of 2026-01-01: 100, 200, 50, 400 g/kWh in DE; in SE always 10.
class SettleTest : public testing::Test {
  protected:
    SettleTest() {
        std::string path = scratch.path("settle.csv");
        std::ofstream(path) << "time,DE,SE\n2026-01-01T00:00Z,100,10\n2026-01-01T01:00Z,200,10\n2026-01-01T02:00Z,50,10\n2026-01-01T03:00Z,400,10\n";
        scheduler::Config config;
        config.carbon_table = path;
        config.jobs["db"].rules.carbon.source_grid = "DE";
        config.jobs["db"].rules.carbon.target_grid = "SE";
        outlooks->use(outlooks->make(config, "hyperd.toml").value(), config);
        row.due = at(0);
        row.deadline = at(4);
        row.stretches = {{at(1), at(2) - Seconds(1)}};
        // 1 kWh at the source, 2 at the target, 4 between.
        row.energy.source = {1, 1, 1};
        row.energy.target = {2, 2, 2};
        row.energy.network = {4, 4, 4};
        rule.source_grid = "DE";
        rule.target_grid = "SE";
    }
    Instant at(int hour) const { return *parse_instant("2026-01-01T00:00:00Z") + std::chrono::hours(hour); }

    carbon::Scratch scratch;
    std::unique_ptr<Outlooks> outlooks = Outlooks::open(scratch.path("feeds"), 1).value();
    RunRow row;
    CarbonRule rule;
};

TEST_F(SettleTest, each_end_counts_with_its_own_zone_and_the_network_half_by_half) {
    EXPECT_TRUE(settle(row, rule, *outlooks, at(5)));
    ASSERT_TRUE(row.grams);
    EXPECT_NEAR(row.grams->middle, 1 * 200 + 2 * 10 + 4 * 105, 1e-9);
}

TEST_F(SettleTest, tells_what_it_would_have_been_at_once_and_with_foresight) {
    settle(row, rule, *outlooks, at(5));
    ASSERT_TRUE(row.grams_at_once && row.grams_foresight);
    EXPECT_NEAR(row.grams_at_once->middle, 1 * 100 + 2 * 10 + 4 * 55, 1e-9);
    EXPECT_NEAR(row.grams_foresight->middle, 1 * 50 + 2 * 10 + 4 * 30, 1e-9);
}

TEST_F(SettleTest, an_end_without_a_zone_is_not_counted) {
    rule.target_grid.clear();
    settle(row, rule, *outlooks, at(5));
    ASSERT_TRUE(row.grams);
    EXPECT_NEAR(row.grams->middle, 1 * 200 + 4 * 200, 1e-9);
}

TEST_F(SettleTest, nothing_is_said_of_what_is_not_known) {
    rule.source_grid = "FR";
    EXPECT_FALSE(settle(row, rule, *outlooks, at(5)));
    EXPECT_FALSE(row.grams);
    rule.source_grid.clear();
    rule.target_grid.clear();
    EXPECT_FALSE(settle(row, rule, *outlooks, at(5)));
}

TEST_F(SettleTest, average_intensities_say_nothing_about_marginal_emissions) {
    rule.signal = carbon::SignalKind::marginal;
    EXPECT_FALSE(settle(row, rule, *outlooks, at(5)));
    EXPECT_FALSE(row.grams);
}

TEST_F(SettleTest, foresight_waits_until_the_deadline_has_passed) {
    settle(row, rule, *outlooks, at(3));
    EXPECT_TRUE(row.grams);
    EXPECT_FALSE(row.grams_foresight);
    EXPECT_TRUE(settle(row, rule, *outlooks, at(4)));
    EXPECT_TRUE(row.grams_foresight);
    EXPECT_FALSE(settle(row, rule, *outlooks, at(4)));
}

TEST_F(SettleTest, stretches_of_a_run_that_was_interrupted_count_by_their_length) {
    row.stretches = {{at(0), at(1)}, {at(3), at(4)}};
    settle(row, rule, *outlooks, at(5));
    ASSERT_TRUE(row.grams);
    EXPECT_NEAR(row.grams->middle, (1 * 100 + 4 * 55) / 2.0 + (1 * 400 + 4 * 205) / 2.0 + 2 * 10, 1e-9);
}

}  // namespace

}  // namespace hyper::hyperd
