// SPDX-License-Identifier: Apache-2.0
#include "scheduler/calendar/on_calendar.h"

#include <gtest/gtest.h>

namespace hyper::scheduler {
namespace {

TEST(OnCalendar, fills_in_what_is_left_out) {
    auto made = parse_on_calendar("Mon..Fri 01:00 Europe/Berlin");
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_EQ(made->spec.weekdays.to_ulong(), 0b0011111u);
    EXPECT_EQ(made->spec.days.count(), 32u);
    EXPECT_EQ(made->spec.seconds.to_ulong(), 1u);
    EXPECT_EQ(made->zone, "Europe/Berlin");
    EXPECT_EQ(parse_on_calendar("Sat,Sunday")->spec.hours.to_ulong(), 1u);
    EXPECT_EQ(parse_on_calendar("*-12-24")->spec.months.to_ulong(), 1u << 12);
    EXPECT_EQ(parse_on_calendar("daily UTC")->zone, "UTC");
}

TEST(OnCalendar, steps_lists_and_counts_from_the_end) {
    EXPECT_EQ(parse_on_calendar("*:0/20")->spec.minutes.count(), 3u);
    EXPECT_EQ(parse_on_calendar("08..18/5:00")->spec.hours.count(), 3u);
    EXPECT_EQ(parse_on_calendar("*-02~01")->spec.days_from_end.to_ulong(), 2u);
    EXPECT_EQ(parse_on_calendar("*-05~07/3")->spec.days_from_end.to_ulong(), 1u << 7 | 1u << 4 | 1u << 1);
    EXPECT_TRUE((*parse_on_calendar("2026..2028-01-01")->spec.years)[2028 - 1970]);
}

TEST(OnCalendar, says_what_is_wrong) {
    for (const char* expression : {"", "never", "Mon..", "Fri..Mon", "25:00", "*:*/5", "*-13-01", "*-*-32", "01:00 02:00 03:00",
                                   "Mon Europe/Berlin x", "1-2-3-4", "10:00:00.5", "*:0/0"})
        EXPECT_FALSE(parse_on_calendar(expression)) << expression;
    EXPECT_NE(parse_on_calendar("*:*/5").error().message.find("write 0/5"), std::string::npos);
}

}  // namespace
}  // namespace hyper::scheduler
