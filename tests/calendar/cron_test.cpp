// SPDX-License-Identifier: Apache-2.0
#include "scheduler/calendar/cron.h"

#include <gtest/gtest.h>

namespace hyper::scheduler {
namespace {

TEST(Cron, reads_lists_ranges_steps_and_names) {
    auto spec = parse_cron("0,30 8-18/5 1 jan-MAR mon-fri");
    ASSERT_TRUE(spec) << spec.error().message;
    EXPECT_EQ(spec->minutes.count(), 2u);
    EXPECT_TRUE(spec->hours[8] && spec->hours[13] && spec->hours[18] && spec->hours.count() == 3);
    EXPECT_EQ(spec->months.count(), 3u);
    EXPECT_EQ(spec->weekdays.to_ulong(), 0b0011111u);
    EXPECT_TRUE(spec->either_day);
}

TEST(Cron, takes_0_and_7_for_sunday) {
    EXPECT_EQ(parse_cron("0 0 * * 0")->weekdays, parse_cron("0 0 * * 7")->weekdays);
    EXPECT_EQ(parse_cron("0 0 * * 5-7")->weekdays.to_ulong(), 0b1110000u);
    EXPECT_EQ(parse_cron("0 0 * * */2")->weekdays.to_ulong(), 0b1101010u) << "Sunday, Tuesday, Thursday, Saturday";
}

TEST(Cron, lets_a_star_restrict_the_days_together) {
    EXPECT_FALSE(parse_cron("0 0 */2 * 1")->either_day);
    EXPECT_FALSE(parse_cron("0 0 13 * *")->either_day);
    EXPECT_TRUE(parse_cron("0 0 13 * 5")->either_day);
}

TEST(Cron, says_what_is_wrong) {
    struct Case {
        const char *expression, *message;
    };
    for (const Case& one :
         {Case{"0 1 * *", "4 fields where cron has 5"}, Case{"0 0 1 * * *", "6 fields"}, Case{"60 1 * * *", "minute: 60 is not within 0..59"},
          Case{"0 1 L * *", "L, W, #, ? and H are not cron's"}, Case{"0 5-1 * * *", "hour: \"5-1\" runs backwards"},
          Case{"*/0 1 * * *", "the step is to be 1 or more"}, Case{"0 1 0 * *", "day of month: 0 is not within"},
          Case{"0 1 * foo *", "month: \"foo\" is no number"}, Case{"1,, 1 * * *", "minute: \"\" is no number"}, Case{"@reboot", "1 fields"},
          Case{"", "0 fields"}, Case{"-1 * * * *", "minute"}, Case{"99999999999 * * * *", "minute"}}) {
        auto spec = parse_cron(one.expression);
        ASSERT_FALSE(spec) << one.expression;
        EXPECT_NE(spec.error().message.find(one.message), std::string::npos) << spec.error().message;
    }
}

}  // namespace
}  // namespace hyper::scheduler
