// SPDX-License-Identifier: Apache-2.0
#include "scheduler/planner/fleet/fleet.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <set>

#include "tests/planner/hourly.h"

namespace hyper::scheduler {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

// One zone with these weights; one source, one target.
Fleet hourly_fleet(std::vector<double> values) {
    Fleet fleet;
    fleet.start = start;
    fleet.steps = uint32_t(values.size());
    fleet.weights.push_back(hourly(std::move(values)));
    return fleet;
}

FleetJob job_of(int length, int earliest, int latest_end, const char* name = "a job") {
    return {.task = {.length = hours(length), .earliest = start + hours(earliest), .latest_end = start + hours(latest_end)}, .name = name};
}

FleetPlan plan_of(const Fleet& fleet) {
    auto made = plan_fleet(fleet);
    EXPECT_TRUE(made) << made.error().message;
    return *made;
}

Instant hour(double number) {
    return start + Seconds(int64_t(number * 3600));
}

TEST(Fleet, places_one_job_as_the_planner_does) {
    unsigned seed = std::random_device()();
    SCOPED_TRACE(seed);
    std::mt19937 draw(seed);
    auto up_to = [&](int n) { return int(draw() % unsigned(n)); };
    for (int round = 0; round < 3000; round++) {
        bool interruptible = up_to(2) == 0;
        std::vector<double> values;
        for (int i = up_to(30) + 1; i > 0; i--) values.push_back(up_to(8) == 0 ? double(NAN) : up_to(12) + 1);
        Fleet fleet = hourly_fleet(values);
        fleet.steps = uint32_t(31 + up_to(60));
        FleetJob job;
        job.task = {.length = minutes(1 + up_to(300)),
                    .guard = minutes(up_to(60)),
                    .earliest = start + minutes(up_to(600)),
                    .interruptible = interruptible,
                    .gain_min = up_to(3) * 0.0871,
                    .equal_within = up_to(3) * 0.0437,
                    .seed = draw()};
        job.task.latest_end = job.task.earliest + minutes(up_to(1200));
        fleet.jobs.push_back(job);
        Plan one = plan(job.task, fleet.weights[0]);
        FleetPlan made = plan_of(fleet);
        auto pieces = made.pieces_of(0);
        ASSERT_EQ(std::vector(pieces.begin(), pieces.end()), one.runs) << round;
        EXPECT_EQ(made.runs[0].reason, one.reason);
        if (std::isnan(one.weight)) {
            EXPECT_TRUE(std::isnan(made.runs[0].weight));
        } else {
            EXPECT_NEAR(made.runs[0].weight, one.weight, 1e-9);
        }
        EXPECT_EQ(std::isnan(made.runs[0].weight_now), std::isnan(one.weight_now));
    }
}

TEST(Fleet, weighs_both_ends) {
    Fleet fleet = hourly_fleet({1, 9, 5, 9});
    fleet.weights.push_back(hourly({9, 1, 1, 9}));
    FleetJob job = job_of(1, 0, 4);
    job.source_weights = 0, job.target_weights = 1, job.source_kw = 1, job.target_kw = 0.5;
    fleet.jobs = {job, job};
    fleet.jobs[1].target_kw = 2;
    FleetPlan plan = plan_of(fleet);
    EXPECT_EQ(plan.runs[0].run.from, hour(0));
    EXPECT_DOUBLE_EQ(plan.runs[0].weight, 1 + 4.5);
    EXPECT_EQ(plan.runs[1].run.from, hour(2));
    EXPECT_DOUBLE_EQ(plan.runs[1].weight, 5 + 2);
    EXPECT_DOUBLE_EQ(plan.runs[1].weight_now, 1 + 18);
}

TEST(Fleet, keeps_to_windows) {
    Fleet fleet = hourly_fleet({9, 1, 1, 8, 7, 5, 6, 9});
    fleet.windows = {{{hour(3.5), hour(4.75)}, {hour(5.25), hour(7)}}};
    FleetJob job = job_of(1, 0, 8);
    job.windows = 0;
    fleet.jobs = {job};
    EXPECT_EQ(plan_of(fleet).runs[0].run.from, hour(5.25)) << "as soon as the second opens";
    fleet.jobs[0].task.latest_end = hour(6);
    EXPECT_EQ(plan_of(fleet).runs[0].run.until, hour(4.75)) << "as late as the first allows";
}

TEST(Fleet, leaves_windows_only_for_the_deadline) {
    Fleet fleet = hourly_fleet({9, 4, 3, 8, 1, 1, 1, 1});
    fleet.windows = {{{hour(4), hour(8)}}};
    FleetJob job = job_of(2, 0, 5);
    job.windows = 0;
    fleet.jobs = {job};
    FleetPlan plan = plan_of(fleet);
    EXPECT_EQ(plan.runs[0].reason, Reason::no_window);
    EXPECT_EQ(plan.runs[0].run.from, hour(1));
}

TEST(Fleet, shares_limits_among_jobs) {
    for (int which : {0, 1, 2}) {
        Fleet fleet = hourly_fleet({9, 1, 2, 3, 4, 9});
        fleet.jobs.assign(3, job_of(1, 0, 6));
        if (which == 0) fleet.runs_max = 1;
        if (which == 1) fleet.source_runs_max = {1};
        if (which == 2) fleet.target_runs_max = {1};
        std::multiset<Instant> starts;
        for (const FleetRun& run : plan_of(fleet).runs) starts.insert(run.run.from);
        EXPECT_EQ(starts, (std::multiset<Instant>{hour(1), hour(2), hour(3)})) << which;
    }
}

TEST(Fleet, counts_what_runs_already) {
    Fleet fleet = hourly_fleet({9, 1, 2, 3});
    fleet.source_runs_max = {1};
    fleet.jobs = {job_of(1, 0, 4)};
    fleet.running = {{{hour(-1), hour(1.5)}, 0, 0}};
    EXPECT_EQ(plan_of(fleet).runs[0].run.from, hour(2));
}

TEST(Fleet, gives_the_lightest_place_to_priority) {
    Fleet fleet = hourly_fleet({9, 1, 2, 9});
    fleet.runs_max = 1;
    fleet.jobs.assign(2, job_of(1, 0, 4));
    fleet.jobs[1].priority = 1;
    EXPECT_EQ(plan_of(fleet).runs[1].run.from, hour(1));
    EXPECT_EQ(plan_of(fleet).runs[0].run.from, hour(2));
}

TEST(Fleet, goes_over_a_limit_only_for_the_deadline) {
    Fleet fleet = hourly_fleet({5, 4, 9});
    fleet.runs_max = 1;
    fleet.jobs.assign(3, job_of(1, 0, 2));
    FleetPlan plan = plan_of(fleet);
    int over = 0;
    for (const FleetRun& run : plan.runs) {
        EXPECT_LE(run.run.until, hour(2));
        over += run.reason == Reason::no_capacity;
    }
    EXPECT_EQ(over, 1);
}

TEST(Fleet, moves_another_to_make_room) {
    // The first is placed first, having less slack, where it is lightest; that leaves the second no room.
    Fleet fleet = hourly_fleet({5, 4, 3, 1, 1, 9});
    fleet.runs_max = 1;
    fleet.jobs = {job_of(1, 1, 4), job_of(2, 2, 6)};
    fleet.running = {{{hour(4), hour(6)}, 0, 0}};
    fleet.jobs[0].priority = 1;
    FleetPlan plan = plan_of(fleet);
    EXPECT_EQ(plan.runs[0].run.from, hour(1));
    EXPECT_EQ(plan.runs[1].run.from, hour(2));
    EXPECT_NE(plan.runs[1].reason, Reason::no_capacity);
}

TEST(Fleet, lets_another_move_that_loses_less) {
    // Both wish for hour 1; the second loses 8 by leaving it, the first 1.
    Fleet fleet = hourly_fleet({9, 1, 2, 9});
    fleet.weights.push_back(hourly({9, 1, 9, 9}));
    fleet.runs_max = 1;
    fleet.jobs.assign(2, job_of(1, 0, 4));
    fleet.jobs[1].source_weights = 1;
    FleetPlan plan = plan_of(fleet);
    EXPECT_EQ(plan.runs[0].run.from, hour(2));
    EXPECT_EQ(plan.runs[1].run.from, hour(1));
}

TEST(Fleet, interrupts_jobs_around_others) {
    Fleet fleet = hourly_fleet({9, 1, 2, 1, 9, 9});
    fleet.source_runs_max = {1};
    FleetJob job = job_of(2, 0, 6);
    job.task.interruptible = true;
    fleet.jobs = {job, job_of(1, 2, 3)};
    FleetPlan plan = plan_of(fleet);
    auto pieces = plan.pieces_of(0);
    EXPECT_EQ(std::vector(pieces.begin(), pieces.end()), (std::vector<TimeRange>{{hour(1), hour(2)}, {hour(3), hour(4)}}));
    EXPECT_DOUBLE_EQ(plan.runs[0].weight, 2);
}

TEST(Fleet, counts_pieces_that_meet_in_a_step_once) {
    Fleet fleet = hourly_fleet({1, 9, 9});
    fleet.source_runs_max = {2};
    fleet.windows = {{{hour(0), hour(0.25)}, {hour(0.5), hour(0.75)}}};
    fleet.jobs = {job_of(1, 0, 1), job_of(1, 0, 3), job_of(1, 2, 3)};
    fleet.jobs[0].task.length = minutes(30), fleet.jobs[0].task.interruptible = true, fleet.jobs[0].windows = 0;
    fleet.dependencies = {{1, 0}};
    FleetPlan plan = plan_of(fleet);
    EXPECT_EQ(plan.pieces_of(0).size(), 2u);
    EXPECT_EQ(plan.runs[1].run.from, hour(0.75)) << "in the same step as both pieces";
}

TEST(Fleet, starts_a_job_when_what_it_waits_for_has_ended) {
    Fleet fleet = hourly_fleet({1, 2, 9, 3, 9, 9});
    fleet.jobs = {job_of(1, 0, 6, "dump"), job_of(2, 0, 6, "copy")};
    fleet.dependencies = {{1, 0}};
    FleetPlan plan = plan_of(fleet);
    EXPECT_GE(plan.runs[1].run.from, plan.runs[0].run.until);
    EXPECT_LE(plan.runs[1].run.until, hour(6));
}

TEST(Fleet, hurries_a_job_for_those_that_wait_for_it) {
    // On its own the first would wait for hour 5. The last must have ended by 5, in a window that closes at 4.
    Fleet fleet = hourly_fleet({9, 8, 5, 9, 9, 1, 9});
    fleet.windows = {{{hour(0), hour(4)}}};
    fleet.jobs = {job_of(1, 0, 7, "a"), job_of(1, 0, 7, "b"), job_of(1, 0, 5, "c")};
    fleet.jobs[2].windows = 0;
    fleet.dependencies = {{1, 0}, {2, 1}};
    FleetPlan plan = plan_of(fleet);
    EXPECT_EQ(plan.runs[0].run.from, hour(1)) << "the lightest that leaves two hours for the others";
    EXPECT_EQ(plan.runs[1].run.from, hour(2));
    EXPECT_EQ(plan.runs[2].run.from, hour(3));
}

TEST(Fleet, names_jobs_that_wait_for_each_other) {
    Fleet fleet = hourly_fleet({1, 2, 3});
    fleet.jobs = {job_of(1, 0, 3, "first"), job_of(1, 0, 3, "a"), job_of(1, 0, 3, "b"), job_of(1, 0, 3, "last")};
    fleet.dependencies = {{1, 0}, {1, 2}, {2, 1}, {3, 2}};
    auto made = plan_fleet(fleet);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, EINVAL);
    EXPECT_NE(made.error().message.find("a waits for b, which waits for a"), std::string::npos) << made.error().message;
    EXPECT_EQ(made.error().message.find("first"), std::string::npos) << made.error().message;
    EXPECT_EQ(made.error().message.find("last"), std::string::npos) << made.error().message;
    fleet.dependencies = {{3, 3}};
    EXPECT_NE(plan_fleet(fleet).error().message.find("last waits for last"), std::string::npos);
}

TEST(Fleet, refuses_weights_that_are_not_on_its_steps) {
    Fleet fleet = hourly_fleet({1, 2, 3});
    fleet.weights.push_back(Weights(carbon::StepSeries(start + minutes(30), hours(1), {1, 2})));
    fleet.jobs = {job_of(1, 0, 3)};
    auto made = plan_fleet(fleet);
    ASSERT_FALSE(made);
    EXPECT_NE(made.error().message.find("weights 1"), std::string::npos) << made.error().message;
    fleet.step = minutes(30), fleet.steps = 6;
    EXPECT_TRUE(plan_fleet(fleet));
}

TEST(Fleet, spreads_equal_starts_by_seed) {
    Fleet fleet = hourly_fleet({5, 1, 1, 5});
    FleetJob job = job_of(1, 0, 4);
    job.task.length = minutes(10);
    for (uint64_t seed = 0; seed < 100; seed++) job.task.seed = seed, fleet.jobs.push_back(job);
    std::set<Instant> starts;
    for (const FleetRun& run : plan_of(fleet).runs) {
        starts.insert(run.run.from);
        EXPECT_NEAR(run.weight, 1.0 / 6, 1e-12);
    }
    EXPECT_GT(starts.size(), 90u);
}

TEST(Fleet, plans_beyond_its_steps_without_limits) {
    Fleet fleet = hourly_fleet({1, 2});
    fleet.runs_max = 1;
    fleet.jobs.assign(2, job_of(1, 7, 9));
    for (const FleetRun& run : plan_of(fleet).runs) {
        EXPECT_EQ(run.run.from, hour(7));
        EXPECT_EQ(run.reason, Reason::no_outlook);
    }
}

}  // namespace
}  // namespace hyper::scheduler
