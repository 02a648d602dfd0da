// SPDX-License-Identifier: Apache-2.0
#include "carbon/correction.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hyper::carbon {
namespace {

using namespace std::chrono;

constexpr Instant monday = sys_days(2024y / January / 1);
constexpr int day_count = 40;

double real(Instant at) {
    return 300 + 80 * std::sin(double((at - monday) / hours(1)) * 2 * M_PI / 24);
}

StepSeries series_of(Instant from, size_t hour_count, double (*value)(Instant)) {
    std::vector<double> values;
    for (size_t i = 0; i < hour_count; i++) values.push_back(value(from + hours(i)));
    return StepSeries(from, hours(1), std::move(values));
}

// After a day's issue each day; the last one's result.
StepSeries last_corrected(double (*forecast)(Instant), const StepSeries& measured) {
    ForecastCorrection correction;
    StepSeries made;
    for (int day = 14; day < day_count; day++) made = correction.correct(monday + days(day), series_of(monday + days(day), 48, forecast), measured);
    return made;
}

double worst_error(const StepSeries& series) {
    double worst = 0;
    for (size_t i = 0; i < series.size(); i++) worst = std::max(worst, std::abs(series.values()[i] - real(series.time_of(i))));
    return worst;
}

TEST(ForecastCorrection, leaves_a_feed_alone_that_is_right) {
    EXPECT_LT(worst_error(last_corrected(real, series_of(monday, 24 * day_count, real))), 2);
}

TEST(ForecastCorrection, learns_a_bias_by_hour) {
    auto wrong = [](Instant at) { return real(at) + 60 * std::cos(double((at - monday) / hours(1)) * 2 * M_PI / 24); };
    StepSeries measured = series_of(monday, 24 * day_count, real);
    StepSeries raw = series_of(monday + days(day_count - 1), 48, wrong);
    EXPECT_LT(worst_error(last_corrected(wrong, measured)), worst_error(raw) / 4);
}

TEST(ForecastCorrection, knows_nothing_of_what_comes_later) {
    StepSeries measured = series_of(monday, 24 * (day_count - 1), real);
    StepSeries more = series_of(monday, 24 * (day_count + 5), [](Instant at) { return at < monday + days(day_count - 1) ? real(at) : 1e6; });
    auto wrong = [](Instant at) { return real(at) * 1.2; };
    EXPECT_EQ(last_corrected(wrong, measured).values(), last_corrected(wrong, more).values());
}

TEST(ForecastCorrection, passes_a_first_issue_through) {
    ForecastCorrection correction;
    StepSeries issue = series_of(monday, 24, real);
    EXPECT_EQ(correction.correct(monday, issue, {}).values(), issue.values());
    EXPECT_TRUE(correction.correct(monday, {}, {}).empty());
}

TEST(ForecastCorrection, keeps_gaps_and_steps) {
    ForecastCorrection correction;
    StepSeries issue(monday, minutes(30), {100, NAN, NAN, NAN, 300});
    StepSeries made = correction.correct(monday, issue, series_of(monday - days(7), 24 * 7, real));
    ASSERT_EQ(made.size(), 5u);
    EXPECT_EQ(made.step(), minutes(30));
    EXPECT_TRUE(std::isnan(made.values()[2]));
    EXPECT_FALSE(std::isnan(made.values()[4]));
}

}  // namespace
}  // namespace hyper::carbon
