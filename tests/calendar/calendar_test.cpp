// SPDX-License-Identifier: Apache-2.0
#include "scheduler/calendar/calendar.h"

#include <gtest/gtest.h>

namespace hyper::scheduler {
namespace {

// When it is next due, as text.
std::string next(std::string_view expression, std::string_view zone, std::string_view after) {
    auto calendar = Calendar::parse(expression, zone);
    if (!calendar) return calendar.error().message;
    auto due = calendar->next(*parse_instant(after));
    return due ? instant_text(*due) : "never";
}

TEST(Calendar, is_due_after_not_at_the_time_given) {
    EXPECT_EQ(next("0 1 * * *", "UTC", "2026-01-01T01:00Z"), "2026-01-02T01:00:00Z");
    EXPECT_EQ(next("0 1 * * *", "UTC", "2026-01-01T00:59:59Z"), "2026-01-01T01:00:00Z");
}

TEST(Calendar, keeps_wall_clock_time_over_the_year) {
    EXPECT_EQ(next("0 1 * * *", "Europe/Berlin", "2026-01-15T12:00Z"), "2026-01-16T00:00:00Z");
    EXPECT_EQ(next("0 1 * * *", "Europe/Berlin", "2026-07-15T12:00Z"), "2026-07-15T23:00:00Z");
}

// Berlin, 2026-03-29: 02:00 is followed by 03:00, at 01:00 UTC.
TEST(Calendar, runs_just_after_a_gap_and_once) {
    EXPECT_EQ(next("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00Z"), "2026-03-29T01:00:00Z");
    EXPECT_EQ(next("30 2 * * *", "Europe/Berlin", "2026-03-29T01:00Z"), "2026-03-30T00:30:00Z");
    EXPECT_EQ(next("*/10 2 * * *", "Europe/Berlin", "2026-03-29T00:59:59Z"), "2026-03-29T01:00:00Z");
    EXPECT_EQ(next("*/10 2 * * *", "Europe/Berlin", "2026-03-29T01:00Z"), "2026-03-30T00:00:00Z");
    EXPECT_EQ(next("OnCalendar=02:15 Europe/Berlin", "", "2026-03-28T12:00Z"), "2026-03-29T01:00:00Z");
}

// Berlin, 2026-10-25: 03:00 is followed by 02:00, at 01:00 UTC.
TEST(Calendar, runs_once_in_a_fold) {
    EXPECT_EQ(next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00Z"), "2026-10-25T00:30:00Z");
    EXPECT_EQ(next("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30Z"), "2026-10-26T01:30:00Z");
    EXPECT_EQ(next("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10Z"), "2026-10-26T01:30:00Z") << "from within the second turn";
    EXPECT_EQ(next("0 3 * * *", "Europe/Berlin", "2026-10-25T00:59Z"), "2026-10-25T02:00:00Z");
}

TEST(Calendar, follows_real_time_where_every_hour_is_named) {
    EXPECT_EQ(next("30 * * * *", "Europe/Berlin", "2026-10-25T00:30Z"), "2026-10-25T01:30:00Z") << "both turns";
    EXPECT_EQ(next("30 * * * *", "Europe/Berlin", "2026-03-29T00:30Z"), "2026-03-29T01:30:00Z") << "nothing for the gap";
    EXPECT_EQ(next("OnCalendar=hourly", "Europe/Berlin", "2026-10-25T01:00Z"), "2026-10-25T02:00:00Z");
}

TEST(Calendar, knows_zones_with_odd_changes) {
    EXPECT_EQ(next("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T14:00Z"), "2026-10-03T15:30:00Z") << "a gap of half an hour";
    EXPECT_EQ(next("0 12 30 12 *", "Pacific/Apia", "2011-12-29T23:00Z"), "2011-12-30T10:00:00Z") << "a day that was left out";
    EXPECT_EQ(next("0 0 * * *", "Asia/Beirut", "2026-03-28T12:00Z"), "2026-03-28T22:00:00Z") << "a gap at midnight";
}

TEST(Calendar, ends) {
    EXPECT_EQ(next("0 0 30 2 *", "UTC", "2026-01-01T00:00Z"), "never");
    EXPECT_EQ(next("OnCalendar=2025-01-01", "UTC", "2026-01-01T00:00Z"), "never");
    EXPECT_EQ(next("0 0 29 2 *", "UTC", "2097-01-01T00:00Z"), "2104-02-29T00:00:00Z");
}

TEST(Calendar, refuses_zones_it_does_not_know) {
    for (const char* zone : {"", "Berlin", "../../etc/passwd", "/etc/localtime", "CEST"}) EXPECT_FALSE(Calendar::parse("0 1 * * *", zone)) << zone;
    EXPECT_EQ(next("OnCalendar=daily Europe/Paris", "Europe/Berlin", "2026-01-01T00:00Z"),
              "\"OnCalendar=daily Europe/Paris\" has its own time zone, and timezone = \"Europe/Berlin\" is another");
}

TEST(TimeZone, maps_skipped_and_repeated_times) {
    TimeZone berlin = *TimeZone::find("Europe/Berlin");
    auto local = [](std::string_view text) { return Local(parse_instant(text)->time_since_epoch()); };
    EXPECT_EQ(instant_text(berlin.instant(local("2026-03-29T02:30"))), "2026-03-29T01:00:00Z");
    EXPECT_EQ(instant_text(berlin.instant(local("2026-10-25T02:30"))), "2026-10-25T00:30:00Z");
    EXPECT_EQ(instant_text(berlin.instant(local("2026-10-25T03:00"))), "2026-10-25T02:00:00Z");
    EXPECT_EQ(instant_text(TimeZone::utc().instant(local("2026-10-25T03:00"))), "2026-10-25T03:00:00Z");
}

}  // namespace
}  // namespace hyper::scheduler
