// SPDX-License-Identifier: Apache-2.0
#include "scheduler/planner/weights.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hyper::scheduler {
namespace {

using std::chrono::minutes;

constexpr Instant noon{Seconds(12 * 3600)};

TEST(Weights, are_value_times_hours_and_cut_steps_by_time) {
    Weights weights(carbon::StepSeries(noon, Seconds(1800), {100, 200, 400}));
    EXPECT_DOUBLE_EQ(weights.of(noon, noon + minutes(30)), 50);
    EXPECT_DOUBLE_EQ(weights.of(noon + minutes(15), noon + minutes(75)), 25 + 100 + 100);
    EXPECT_DOUBLE_EQ(weights.of(noon, noon + minutes(90)), 350);
}

TEST(Weights, are_not_known_in_gaps_and_outside) {
    Weights weights(carbon::StepSeries(noon, Seconds(1800), {100, NAN, 400}));
    EXPECT_TRUE(weights.known(noon, noon + minutes(30)));
    EXPECT_FALSE(weights.known(noon, noon + minutes(31)));
    EXPECT_TRUE(weights.known(noon + minutes(60), noon + minutes(90)));
    EXPECT_FALSE(weights.known(noon + minutes(60), noon + minutes(91)));
    EXPECT_FALSE(weights.known(noon - minutes(1), noon + minutes(10)));
    EXPECT_FALSE(Weights().known(noon, noon + minutes(1)));
}

}  // namespace
}  // namespace hyper::scheduler
