// SPDX-License-Identifier: Apache-2.0
#include "carbon/profile.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hyper::carbon {
namespace {

using namespace std::chrono;

constexpr Instant monday = sys_days(2024y / January / 1);

// By day and hour.
template <class Value>
StepSeries made_of(int day_count, Value value) {
    std::vector<double> values;
    for (int day = 0; day < day_count; day++)
        for (int hour = 0; hour < 24; hour++) values.push_back(value(day, hour));
    return StepSeries(monday, hours(1), std::move(values));
}

TEST(HourProfile, repeats_what_every_day_is_like) {
    StepSeries series = made_of(7, [](int, int hour) { return 100.0 + hour; });
    StepSeries next = HourProfile::learn(series, monday + days(7)).predict(monday + days(7) + minutes(90), monday + days(8));
    ASSERT_EQ(next.size(), 23u);
    EXPECT_EQ(next.start(), monday + days(7) + hours(1));
    EXPECT_NEAR(*next.at(monday + days(7) + hours(5)), 105, 1e-9);
}

TEST(HourProfile, tells_weekends_from_work_days) {
    StepSeries series = made_of(28, [](int day, int) { return day % 7 >= 5 ? 100.0 : 200.0; });
    HourProfile profile = HourProfile::learn(series, monday + days(28));
    double work = *profile.predict(monday, monday + hours(1)).at(monday);
    double weekend = *profile.predict(monday + days(5), monday + days(6)).at(monday + days(5));
    EXPECT_GT(work, 175);
    EXPECT_LT(weekend, work - 10);
}

TEST(HourProfile, looks_at_nothing_that_comes_later) {
    StepSeries whole = made_of(14, [](int day, int hour) { return day < 7 ? hour : 1e6; });
    StepSeries half = made_of(7, [](int, int hour) { return double(hour); });
    Instant now = monday + days(7);
    EXPECT_EQ(HourProfile::learn(whole, now).predict(now, now + days(1)).values(),
              HourProfile::learn(half, now).predict(now, now + days(1)).values());
}

TEST(HourProfile, still_knows_when_the_feed_has_been_down_for_months) {
    StepSeries series = made_of(7, [](int, int hour) { return double(hour); });
    Instant now = monday + days(200);
    EXPECT_NEAR(*HourProfile::learn(series, now).predict(now, now + days(1)).at(now + hours(6)), 6, 1e-9);
}

TEST(HourProfile, fills_hours_that_were_never_seen) {
    StepSeries series = made_of(3, [](int, int hour) { return hour == 4 ? NAN : 50.0; });
    Instant now = monday + days(3);
    EXPECT_NEAR(*HourProfile::learn(series, now).predict(now, now + days(1)).at(now + hours(4)), 50, 1e-9);
}

TEST(HourProfile, is_empty_where_nothing_is_known) {
    EXPECT_TRUE(HourProfile::learn({}, monday).empty());
    EXPECT_TRUE(HourProfile::learn(made_of(2, [](int, int) { return NAN; }), monday + days(2)).empty());
    EXPECT_TRUE(HourProfile::learn(made_of(2, [](int, int) { return 1.0; }), monday).empty());
    EXPECT_TRUE(HourProfile().predict(monday, monday + days(1)).empty());
}

}  // namespace
}  // namespace hyper::carbon
