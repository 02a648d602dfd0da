// SPDX-License-Identifier: Apache-2.0
#include "carbon/outlook.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hyper::carbon {
namespace {

using namespace std::chrono;

constexpr Instant monday = sys_days(2024y / January / 1);

StepSeries flat(Instant from, size_t hour_count, double value) {
    return StepSeries(from, hours(1), std::vector(hour_count, value));
}

TEST(OutlookMaker, prefers_the_newest_issue_then_an_older_one_then_the_profile) {
    StepSeries measured = flat(monday, 24 * 14, 200);
    Instant now = monday + days(14);
    OutlookMaker maker;
    maker.set_corrected(false);
    maker.add_issue(now - days(1), flat(now - days(1), 72, 250), measured);
    maker.add_issue(now, flat(now, 24, 240), measured);
    Outlook outlook = maker.make(now, now + days(4), measured);
    ASSERT_EQ(outlook.series.size(), 96u);
    EXPECT_EQ(outlook.sources[0], OutlookSource::forecast);
    EXPECT_EQ(outlook.sources[24], OutlookSource::older_forecast);
    EXPECT_EQ(outlook.sources[48], OutlookSource::profile);
    EXPECT_DOUBLE_EQ(outlook.series.values()[0], 240);
    EXPECT_DOUBLE_EQ(outlook.series.values()[47], 250);
    EXPECT_DOUBLE_EQ(outlook.series.values()[48], 245) << "the profile goes on from the mean of the forecasts";
}

TEST(OutlookMaker, calls_an_issue_old_that_was_not_followed) {
    OutlookMaker maker;
    maker.add_issue(monday, flat(monday, 72, 250), {});
    EXPECT_EQ(maker.make(monday + hours(24), monday + hours(30), {}).sources[0], OutlookSource::forecast);
    EXPECT_EQ(maker.make(monday + hours(25), monday + hours(30), {}).sources[0], OutlookSource::older_forecast);
}

TEST(OutlookMaker, lives_on_the_profile_alone) {
    StepSeries measured = flat(monday, 24 * 14, 200);
    Outlook outlook = OutlookMaker().make(monday + days(20) + minutes(5), monday + days(21), measured);
    ASSERT_EQ(outlook.series.size(), 24u);
    EXPECT_EQ(outlook.sources[0], OutlookSource::profile);
    EXPECT_NEAR(outlook.series.values()[23], 200, 1e-9);
}

TEST(OutlookMaker, says_what_it_does_not_know) {
    Outlook outlook = OutlookMaker().make(monday, monday + hours(2), {});
    ASSERT_EQ(outlook.series.size(), 2u);
    EXPECT_EQ(outlook.sources[1], OutlookSource::unknown);
    EXPECT_TRUE(std::isnan(outlook.series.values()[1]));
}

}  // namespace
}  // namespace hyper::carbon
