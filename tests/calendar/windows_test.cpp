// SPDX-License-Identifier: Apache-2.0
#include "scheduler/calendar/windows.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "scheduler/calendar/duration.h"

namespace hyper::scheduler {
namespace {

using namespace std::chrono;

Windows make(std::vector<std::string> allow, std::vector<std::string> deny, std::string_view zone = "UTC") {
    auto windows = Windows::parse(allow, deny, *TimeZone::find(zone));
    EXPECT_TRUE(windows) << windows.error().message;
    return *windows;
}

Instant at(std::string_view text) {
    return *parse_instant(text);
}

std::string next_change(const Windows& windows, std::string_view after) {
    auto change = windows.next_change(at(after));
    return change ? instant_text(*change) : "never";
}

// 2026-01-02 is a Friday.
TEST(Windows, go_over_midnight_from_the_day_on_which_they_begin) {
    Windows nights = make({"Mon..Fri 20:00-06:00"}, {});
    EXPECT_FALSE(nights.open(at("2026-01-02T19:59Z")));
    EXPECT_TRUE(nights.open(at("2026-01-02T20:00Z")));
    EXPECT_TRUE(nights.open(at("2026-01-03T05:59Z"))) << "Friday's window, on Saturday";
    EXPECT_FALSE(nights.open(at("2026-01-03T06:00Z")));
    EXPECT_FALSE(nights.open(at("2026-01-05T05:00Z"))) << "Sunday has none";
    EXPECT_EQ(next_change(nights, "2026-01-02T20:00Z"), "2026-01-03T06:00:00Z");
    EXPECT_EQ(instant_text(*nights.next_open(at("2026-01-03T06:00Z"))), "2026-01-05T20:00:00Z");
}

TEST(Windows, deny_wins) {
    Windows windows = make({"Sat,Sun *"}, {"2026-12-24/2027-01-02", "12:00-13:00"});
    EXPECT_TRUE(windows.open(at("2026-12-20T11:00Z")));
    EXPECT_FALSE(windows.open(at("2026-12-20T12:30Z")));
    EXPECT_FALSE(windows.open(at("2026-12-26T11:00Z")));
    EXPECT_FALSE(windows.open(at("2027-01-02T23:59Z")));
    EXPECT_TRUE(windows.open(at("2027-01-03T00:00Z")));
    EXPECT_EQ(instant_text(*windows.next_open(at("2026-12-21T00:00Z"))), "2027-01-03T00:00:00Z");
}

TEST(Windows, without_any_are_always_open) {
    Windows windows = make({}, {});
    EXPECT_TRUE(windows.open(at("2026-12-20T11:00Z")));
    EXPECT_EQ(next_change(windows, "2026-12-20T11:00Z"), "never");
    EXPECT_EQ(next_change(make({"*"}, {}), "2026-12-20T11:00Z"), "never") << "one day joins the next";
    EXPECT_EQ(next_change(make({"22:00-02:00"}, {"23:00-23:30"}), "2026-12-20T22:00Z"), "2026-12-20T23:00:00Z");
}

TEST(Windows, follow_the_clocks_of_their_zone) {
    Windows windows = make({"02:30-04:00"}, {}, "Europe/Berlin");
    EXPECT_EQ(next_change(windows, "2026-03-28T12:00Z"), "2026-03-29T01:00:00Z") << "just after the gap";
    EXPECT_EQ(next_change(windows, "2026-03-29T01:00Z"), "2026-03-29T02:00:00Z");
    EXPECT_EQ(next_change(windows, "2026-10-24T12:00Z"), "2026-10-25T00:30:00Z") << "the first turn";
    EXPECT_EQ(next_change(windows, "2026-10-25T00:30Z"), "2026-10-25T03:00:00Z");
}

TEST(Windows, list_when_they_are_open) {
    auto open = make({"22:00-06:00", "05:00-07:00"}, {"Sat *"}).open_times(at("2026-01-02T23:00Z"), at("2026-01-04T23:00Z"));
    ASSERT_EQ(open.size(), 3u);
    EXPECT_EQ(open[0], (TimeRange{at("2026-01-02T23:00Z"), at("2026-01-03T00:00Z")})) << "until Saturday";
    EXPECT_EQ(open[1], (TimeRange{at("2026-01-04T00:00Z"), at("2026-01-04T07:00Z")})) << "the rest of what Saturday began, joined with the next";
    EXPECT_EQ(open[2], (TimeRange{at("2026-01-04T22:00Z"), at("2026-01-04T23:00Z")}));
    EXPECT_TRUE(make({}, {"*"}).open_times(at("2026-01-02T23:00Z"), at("2026-01-04T23:00Z")).empty());
}

TEST(Windows, are_listed_open_when_they_are) {
    Windows windows = make({"Mon..Fri 20:00-06:00", "01:30-03:15", "Sun *"}, {"02:45-03:00", "23:30-00:30", "2026-03-31/2026-04-01"}, "Europe/Berlin");
    Instant from = at("2026-03-26T11:00Z"), until = from + days(9);
    auto open = windows.open_times(from, until);
    for (Instant moment = from; moment < until; moment += minutes(15)) {
        bool listed = std::any_of(open.begin(), open.end(), [&](const TimeRange& range) { return range.from <= moment && moment < range.until; });
        EXPECT_EQ(listed, windows.open(moment)) << instant_text(moment);
    }
    for (size_t i = 1; i < open.size(); i++) EXPECT_GT(open[i].from, open[i - 1].until);
}

TEST(Windows, say_what_is_wrong) {
    for (const char* text : {"", "Mon", "Mon 20:00", "Mon 25:00-26:00", "Mon 10:00-10:00", "Foo *", "a b c", "2026-12-24/2026-12-23", "2026-12-24/x",
                             "10:60-11:00", "24:00-01:00"})
        EXPECT_FALSE(parse_window(text)) << text;
    EXPECT_EQ(parse_window("Fri..Mon *")->weekdays, 0b1110001);
    EXPECT_EQ(parse_window("20:00-24:00")->end_minute, 1440);
}

TEST(Duration, reads_sums_of_units) {
    EXPECT_EQ(*parse_duration("1h30m"), minutes(90));
    EXPECT_EQ(*parse_duration("2w"), days(14));
    EXPECT_EQ(duration_text(seconds(90061)), "1d1h1m1s");
    EXPECT_EQ(duration_text(seconds(0)), "0s");
    for (const char* text : {"", "5", "h", "1y", "-1h", "1.5h", "999999999w", "1h 2m"}) EXPECT_FALSE(parse_duration(text)) << text;
}

TEST(Elastic, is_a_range_after_the_last_run) {
    auto elastic = parse_elastic("18h..24h");
    ASSERT_TRUE(elastic);
    EXPECT_EQ(elastic->earliest(at("2026-01-01T00:00Z")), at("2026-01-01T18:00Z"));
    EXPECT_EQ(elastic->latest(at("2026-01-01T00:00Z")), at("2026-01-02T00:00Z"));
    for (const char* text : {"18h", "24h..18h", "18h..", "18h..18h", "..24h"}) EXPECT_FALSE(parse_elastic(text)) << text;
}

}  // namespace
}  // namespace hyper::scheduler
