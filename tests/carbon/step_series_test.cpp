// SPDX-License-Identifier: Apache-2.0
#include "carbon/step_series.h"

#include <gtest/gtest.h>

#include <cmath>
#include <type_traits>

#include "carbon/intensity.h"

namespace hyper::carbon {
namespace {

using std::chrono::minutes;

constexpr Instant start{};

TEST(StepSeries, holds_a_value_until_the_next_step) {
    StepSeries series(start, minutes(30), {1, 2});
    EXPECT_EQ(series.at(start + minutes(29)), 1);
    EXPECT_EQ(series.at(start + minutes(30)), 2);
    EXPECT_EQ(series.at(start + minutes(60)), std::nullopt);
    EXPECT_EQ(series.at(start - minutes(1)), std::nullopt);
}

TEST(StepSeries, weighs_a_mean_by_time) {
    StepSeries series(start, minutes(30), {1, 2, INFINITY, 4});
    EXPECT_DOUBLE_EQ(*series.mean(start + minutes(20), start + minutes(60)), (1.0 * 10 + 2 * 30) / 40);
    EXPECT_EQ(series.mean(start, start + minutes(61)), std::nullopt) << "infinity is a gap";
    EXPECT_DOUBLE_EQ(*series.mean_of_known(start, start + minutes(120), 0.75), 7.0 / 3);
    EXPECT_EQ(series.mean_of_known(start, start + minutes(120), 0.76), std::nullopt);
    EXPECT_EQ(series.mean(start, start), std::nullopt);
    EXPECT_EQ(StepSeries().mean(start, start + minutes(1)), std::nullopt);
}

TEST(Intensity, average_and_marginal_cannot_be_mixed) {
    EXPECT_FALSE((std::is_convertible_v<AverageSeries, MarginalSeries>));
    EXPECT_FALSE((std::is_convertible_v<StepSeries, AverageSeries>));
    EXPECT_FALSE((std::is_convertible_v<AverageIntensity, MarginalIntensity>));
}

TEST(Intensity, converts_pounds_per_mwh) {
    EXPECT_DOUBLE_EQ(grams_per_kwh_of_pounds_per_mwh(1000), 453.59237);
}

}  // namespace
}  // namespace hyper::carbon
