// SPDX-License-Identifier: Apache-2.0
#include "carbon/feeds/poll_schedule.h"

#include <gtest/gtest.h>

#include <set>

namespace hyper::carbon {
namespace {

using namespace std::chrono;

constexpr Instant noon = sys_days(2026y / March / 1) + hours(12);
const FeedFailure down{FeedProblem::unavailable, "503"};

TEST(PollSchedule, asks_at_once_and_then_soon_after_each_step) {
    PollSchedule schedule(hours(1), 1);
    EXPECT_LE(schedule.next(), noon);
    schedule.succeeded(noon + minutes(20));
    EXPECT_GE(schedule.next(), noon + hours(1));
    EXPECT_LT(schedule.next(), noon + hours(1) + minutes(5));
}

TEST(PollSchedule, spreads_over_the_first_minutes_by_its_seed) {
    std::set<Instant> times;
    for (uint64_t seed = 0; seed < 50; seed++) {
        PollSchedule schedule(hours(1), seed), again(hours(1), seed);
        schedule.succeeded(noon), again.succeeded(noon);
        EXPECT_EQ(schedule.next(), again.next());
        times.insert(schedule.next());
    }
    EXPECT_GT(times.size(), 30u);
}

TEST(PollSchedule, doubles_what_it_may_wait_up_to_an_hour) {
    Seconds longest[12] = {};
    for (uint64_t seed = 0; seed < 400; seed++) {
        PollSchedule schedule(hours(1), seed);
        for (Seconds& wait : longest) {
            schedule.failed(down, noon);
            EXPECT_GT(schedule.next(), noon);
            wait = std::max(wait, schedule.next() - noon);
        }
    }
    EXPECT_LE(longest[0], seconds(30));
    EXPECT_GT(longest[0], seconds(25)) << "the jitter is over all of the wait";
    EXPECT_LE(longest[1], seconds(60));
    EXPECT_GT(longest[1], seconds(50));
    EXPECT_LE(longest[11], hours(1));
    EXPECT_GT(longest[11], minutes(50));
}

TEST(PollSchedule, begins_anew_after_a_success) {
    PollSchedule schedule(hours(1), 1);
    for (int i = 0; i < 10; i++) schedule.failed(down, noon);
    schedule.succeeded(noon);
    schedule.failed(down, noon);
    EXPECT_LE(schedule.next() - noon, seconds(30));
}

TEST(PollSchedule, comes_back_no_sooner_than_the_service_asks) {
    for (uint64_t seed = 0; seed < 100; seed++) {
        PollSchedule schedule(hours(1), seed);
        schedule.failed({FeedProblem::too_many, "429", seconds(600)}, noon);
        EXPECT_GE(schedule.next() - noon, seconds(600));
        EXPECT_LE(schedule.next() - noon, seconds(660));
    }
}

TEST(PollSchedule, waits_longer_for_what_somebody_has_to_mend) {
    Seconds longest{};
    for (uint64_t seed = 0; seed < 100; seed++) {
        PollSchedule schedule(minutes(5), seed);
        schedule.failed({FeedProblem::not_allowed, "401"}, noon);
        longest = std::max(longest, schedule.next() - noon);
    }
    EXPECT_GT(longest, minutes(8));
    EXPECT_LE(longest, minutes(10));
}

}  // namespace
}  // namespace hyper::carbon
