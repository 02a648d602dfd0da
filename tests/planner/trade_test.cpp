// SPDX-License-Identifier: Apache-2.0
#include "scheduler/planner/trade.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hyper::scheduler {
namespace {

using carbon::StepSeries;
using std::chrono::hours;
using std::chrono::minutes;

constexpr Instant start{hours(24 * 365)};

StepSeries hourly(std::vector<double> values) {
    return StepSeries(start, hours(1), std::move(values));
}

TEST(Trade, weighs_grams_and_money_of_both_ends) {
    Place here{hourly({100, 200}), hourly({0.5, -0.25})}, there{hourly({10, 20}), hourly({1, 1})};
    RunEnd ends[] = {{&here, 2}, {&there, 0.5}};
    Weights weights = weigh(ends, {.gram = 3, .money = 100});
    EXPECT_DOUBLE_EQ(weights.of(start, start + hours(1)), 3 * (2 * 100 + 0.5 * 10) + 100 * (2 * 0.5 + 0.5 * 1));
    EXPECT_DOUBLE_EQ(weights.of(start + hours(1), start + hours(2)), 3 * (2 * 200 + 0.5 * 20) + 100 * (2 * -0.25 + 0.5 * 1));
}

TEST(Trade, takes_steps_as_fine_as_the_finest_and_what_all_know) {
    Place place{hourly({100, 200, 300}), StepSeries(start + minutes(45), minutes(30), {1, 2, 3})};
    RunEnd end{&place, 1};
    Weights weights = weigh({&end, 1}, {.gram = 1, .money = 10});
    EXPECT_EQ(weights.step(), minutes(15));
    EXPECT_EQ(weights.start(), start + minutes(45));
    EXPECT_EQ(weights.end(), start + minutes(135));
    EXPECT_DOUBLE_EQ(weights.of(start + minutes(45), start + minutes(75)), 0.25 * 110 + 0.25 * 210);
}

TEST(Trade, needs_only_what_weighs) {
    Place place{hourly({100, NAN}), {}};
    RunEnd end{&place, 1};
    EXPECT_TRUE(weigh({&end, 1}, {.gram = 1, .money = 10}).known(start, start + hours(1))) << "without prices";
    EXPECT_FALSE(weigh({&end, 1}, {.gram = 1, .money = 10}).known(start, start + hours(2))) << "a gap";
    EXPECT_EQ(weigh({&end, 1}, {.gram = 0, .money = 10}).size(), 0u) << "nothing weighs";
}

TEST(Trade, tells_grams_and_money_apart) {
    Place place{hourly({100, 50, 80}), hourly({0.1, 0.9, -0.2})};
    RunEnd end{&place, 4};
    TimeRange runs[] = {{start, start + minutes(30)}, {start + hours(2), start + hours(3)}};
    Spent of = spent({&end, 1}, runs);
    EXPECT_DOUBLE_EQ(of.grams, 4 * (0.5 * 100 + 80));
    EXPECT_DOUBLE_EQ(of.money, 4 * (0.5 * 0.1 - 0.2));
    TimeRange late{start + hours(2), start + hours(4)};
    EXPECT_TRUE(std::isnan(spent({&end, 1}, {&late, 1}).grams)) << "beyond what is known";
}

TEST(Trade, shows_what_else_could_have_been) {
    Place place{hourly({100, 50, 75, 60}), hourly({0.1, 0.9, -0.2, 0.3})};
    RunEnd end{&place, 1};
    Task task{.length = hours(1), .earliest = start, .latest_end = start + hours(4)};
    Plan made = plan(task, weigh({&end, 1}, {.gram = 1, .money = 20}));
    Trade trade = trade_of(task, {&end, 1}, made.runs);
    EXPECT_EQ(made.runs[0].from, start + hours(3)) << "60 + 20 * 0.3 is less than 75 - 20 * 0.2 and 50 + 20 * 0.9";
    EXPECT_DOUBLE_EQ(trade.at_once.grams, 100);
    EXPECT_DOUBLE_EQ(trade.at_once.money, 0.1);
    EXPECT_DOUBLE_EQ(trade.greenest.grams, 50);
    EXPECT_DOUBLE_EQ(trade.greenest.money, 0.9);
    EXPECT_DOUBLE_EQ(trade.cheapest.grams, 75);
    EXPECT_DOUBLE_EQ(trade.cheapest.money, -0.2);
    EXPECT_DOUBLE_EQ(trade.planned.grams, 60);
}

}  // namespace
}  // namespace hyper::scheduler
