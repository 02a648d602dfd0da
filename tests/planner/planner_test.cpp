// SPDX-License-Identifier: Apache-2.0
#include "scheduler/planner/planner.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <set>

#include "tests/planner/hourly.h"

namespace hyper::scheduler {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

Seconds total(const Plan& plan) {
    Seconds sum{};
    for (const TimeRange& run : plan.runs) sum += run.until - run.from;
    return sum;
}

TEST(Planner, starts_where_the_run_is_lightest) {
    Plan made = plan({.length = hours(2), .earliest = start, .latest_end = start + hours(6)}, hourly({5, 4, 3, 1, 2, 9}));
    EXPECT_EQ(made.runs, (std::vector<TimeRange>{{start + hours(3), start + hours(5)}}));
    EXPECT_EQ(made.reason, Reason::lightest);
    EXPECT_DOUBLE_EQ(made.weight, 3);
    EXPECT_DOUBLE_EQ(made.weight_now, 9);
}

TEST(Planner, finds_a_start_between_boundaries) {
    // 90 minutes that end with the light hours, and those that begin with them.
    Plan made = plan({.length = minutes(90), .earliest = start, .latest_end = start + hours(5)}, hourly({9, 8, 1, 9, 9}));
    EXPECT_EQ(made.runs[0].from, start + minutes(90));
    EXPECT_DOUBLE_EQ(made.weight, 4 + 1);
}

TEST(Planner, runs_at_once_when_nothing_is_lighter) {
    Plan made = plan({.length = hours(1), .earliest = start + minutes(20), .latest_end = start + hours(4)}, hourly({3, 3, 4, 3}));
    EXPECT_EQ(made.runs[0].from, start + minutes(20));
    EXPECT_EQ(made.reason, Reason::now_is_best);
}

TEST(Planner, lets_the_deadline_win_over_everything) {
    Task task{.length = hours(2), .guard = hours(1), .earliest = start, .latest_end = start + hours(3)};
    Plan made = plan(task, hourly({900, 900, 1, 1, 1}));
    EXPECT_EQ(made.runs[0].from, start);
    EXPECT_EQ(made.reason, Reason::deadline);
    Capacity none(start, hours(1), 5, 0);
    task.latest_end = start;
    EXPECT_EQ(plan(task, Weights(), &none).runs[0].from, start) << "also when it is late, nothing is known and nothing is free";
}

TEST(Planner, keeps_the_guard_free) {
    Task task{.length = hours(1), .guard = hours(2), .earliest = start, .latest_end = start + hours(5)};
    EXPECT_EQ(plan(task, hourly({5, 4, 3, 2, 1})).runs[0].from, start + hours(2));
    task.interruptible = true;
    EXPECT_EQ(plan(task, hourly({5, 4, 3, 2, 1})).runs[0].from, start + hours(2));
}

TEST(Planner, does_not_wait_for_what_is_not_known) {
    Task task{.length = hours(1), .earliest = start, .latest_end = start + hours(90)};
    EXPECT_EQ(plan(task, Weights()).reason, Reason::no_outlook);
    EXPECT_EQ(plan(task, Weights()).runs[0].from, start);
    EXPECT_TRUE(std::isnan(plan(task, Weights()).weight));
    EXPECT_EQ(plan(task, hourly({7, NAN, NAN, 6})).runs[0].from, start + hours(3)) << "over a gap";
}

TEST(Planner, does_not_wait_for_little) {
    Task task{.length = hours(1), .earliest = start, .latest_end = start + hours(3), .gain_min = 0.05};
    EXPECT_EQ(plan(task, hourly({100, 96, 96})).reason, Reason::gain_too_small);
    EXPECT_EQ(plan(task, hourly({100, 94, 96})).reason, Reason::lightest);
    task.interruptible = true;
    EXPECT_EQ(plan(task, hourly({100, 96, 96})).reason, Reason::gain_too_small);
}

TEST(Planner, takes_the_lightest_pieces_of_an_interruptible_job) {
    Plan made = plan({.length = minutes(150), .earliest = start, .latest_end = start + hours(6), .interruptible = true}, hourly({5, 1, 9, 2, 3, 9}));
    EXPECT_EQ(made.runs, (std::vector<TimeRange>{{start + hours(1), start + hours(2)}, {start + hours(3), start + minutes(270)}}));
    EXPECT_DOUBLE_EQ(made.weight, 1 + 2 + 1.5);
}

TEST(Planner, takes_pieces_where_nothing_has_room_for_the_whole) {
    Capacity capacity(start, hours(1), 6, 1);
    capacity.take(start + hours(1), start + hours(2));
    capacity.take(start + hours(3), start + hours(5));
    Task task{.length = hours(2), .earliest = start, .latest_end = start + hours(6), .interruptible = true};
    Plan made = plan(task, hourly({5, 1, 4, 1, 1, 9}), &capacity);
    EXPECT_EQ(made.runs, (std::vector<TimeRange>{{start, start + hours(1)}, {start + hours(2), start + hours(3)}}));
    EXPECT_EQ(made.reason, Reason::lightest);
}

TEST(Planner, spreads_equally_good_starts_by_seed_alone) {
    std::set<Instant> starts;
    for (uint64_t seed = 0; seed < 200; seed++) {
        Task task{.length = minutes(10), .earliest = start, .latest_end = start + hours(4), .seed = seed};
        Plan made = plan(task, hourly({5, 1, 5, 1}));
        EXPECT_NEAR(made.weight, 1.0 / 6, 1e-12);
        EXPECT_EQ(made.runs, plan(task, hourly({5, 1, 5, 1})).runs);
        starts.insert(made.runs[0].from);
    }
    EXPECT_GT(starts.size(), 190u);
    EXPECT_LT(*starts.begin(), start + hours(2));
    EXPECT_GT(*starts.rbegin(), start + hours(3));
}

TEST(Planner, widens_what_is_equally_good) {
    std::set<Instant> starts;
    for (uint64_t seed = 0; seed < 50; seed++)
        starts.insert(plan({.length = hours(1), .earliest = start, .latest_end = start + hours(4), .equal_within = 0.02, .seed = seed},
                           hourly({100, 50, 51, 60}))
                          .runs[0]
                          .from);
    EXPECT_GT(starts.size(), 20u);
    EXPECT_GE(*starts.begin(), start + minutes(57)) << "2 % of 100 before the hour";
    EXPECT_LE(*starts.rbegin(), start + minutes(127));
}

TEST(Planner, respects_capacity) {
    Capacity capacity(start, hours(1), 6, 1);
    capacity.take(start + hours(3), start + hours(4));
    Task task{.length = hours(2), .earliest = start, .latest_end = start + hours(6)};
    EXPECT_EQ(plan(task, hourly({5, 4, 3, 1, 2, 9}), &capacity).runs[0].from, start + hours(1));
    capacity.take(start, start + hours(3));
    EXPECT_EQ(plan(task, hourly({5, 4, 3, 1, 2, 9}), &capacity).runs[0].from, start + hours(4)) << "now does not fit";
    EXPECT_EQ(plan(task, hourly({5, 4}), &capacity).reason, Reason::no_outlook) << "room only where nothing is known";
    EXPECT_EQ(plan(task, hourly({5, 4}), &capacity).runs[0].from, start + hours(4));
    capacity.take(start + hours(4), start + hours(6));
    Plan made = plan(task, hourly({5, 4, 3, 1, 2, 9}), &capacity);
    EXPECT_EQ(made.reason, Reason::no_capacity);
    EXPECT_EQ(made.runs[0].until, task.latest_end);
}

// Against trying every minute.
TEST(Planner, is_as_good_as_trying_every_minute) {
    unsigned seed = std::random_device()();
    SCOPED_TRACE(seed);
    std::mt19937 draw(seed);
    auto up_to = [&](int n) { return int(draw() % unsigned(n)); };
    for (int round = 0; round < 300; round++) {
        std::vector<double> values;
        for (int i = up_to(20) + 1; i > 0; i--) values.push_back(up_to(8) == 0 ? double(NAN) : up_to(30) - 3.0);
        Weights weights = hourly(values);
        Capacity capacity(start, hours(1), 20, 1);
        for (int i = up_to(4); i > 0; i--) {
            Instant busy = start + hours(up_to(19));
            if (capacity.fits(busy, busy + hours(1))) capacity.take(busy, busy + hours(1));
        }
        Task task{.length = minutes(1 + up_to(300)), .guard = minutes(up_to(60)), .earliest = start + minutes(up_to(600)), .seed = draw()};
        task.latest_end = task.earliest + minutes(up_to(900));
        double best = INFINITY;
        bool in_time = last_start(task) >= task.earliest;
        for (Instant at = task.earliest; at <= last_start(task); at += minutes(1))
            if (weights.known(at, at + task.length) && capacity.fits(at, at + task.length)) best = std::min(best, weights.of(at, at + task.length));
        Plan made = plan(task, weights, &capacity);
        EXPECT_EQ(total(made), task.length);
        EXPECT_GE(made.runs[0].from, task.earliest);
        if (in_time) {
            EXPECT_LE(made.runs.back().until, task.latest_end - task.guard);
        }
        if (in_time && last_start(task) > task.earliest && best < INFINITY) {
            EXPECT_NEAR(made.weight, best, 1e-9);
        }
        task.interruptible = true;
        Plan pieces = plan(task, weights, &capacity);
        EXPECT_EQ(total(pieces), task.length);
        if (in_time) {
            EXPECT_LE(pieces.runs.back().until, task.latest_end - task.guard);
        }
        if (!std::isnan(made.weight) && made.reason != Reason::no_capacity) {
            EXPECT_LE(pieces.weight, made.weight + 1e-9);
        }
    }
}

}  // namespace
}  // namespace hyper::scheduler
