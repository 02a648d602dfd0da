// SPDX-License-Identifier: Apache-2.0
// What holds of every plan, checked on random fleets without any of the planner's own arithmetic of limits and windows.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <random>

#include "bench/planner/fleets.h"
#include "bench/planner/memory.h"

namespace hyper::scheduler {
namespace {

using std::chrono::hours;

constexpr Instant start{hours(24 * 20000)};

bool is_forced(Reason reason) {
    return reason == Reason::deadline || reason == Reason::no_capacity || reason == Reason::no_window;
}

class Check {
  public:
    Check(const Fleet& fleet, const FleetPlan& plan) : fleet_(fleet), plan_(plan), before_(fleet.jobs.size()), behind_(fleet.jobs.size()) {
        for (const Dependency& each : fleet.dependencies) before_[each.job].push_back(each.after), behind_[each.after].push_back(each.job);
        for (const RunningJob& job : fleet.running) count(job.source, job.target, {&job.run, 1}, 1);
        for (uint32_t job = 0; job < fleet.jobs.size(); job++) count(job, 1);
    }

    void runs_are_whole() const {
        for (uint32_t job = 0; job < fleet_.jobs.size(); job++) {
            Seconds sum{};
            auto pieces = plan_.pieces_of(job);
            for (size_t i = 0; i < pieces.size(); i++) {
                EXPECT_LT(pieces[i].from, pieces[i].until);
                EXPECT_TRUE(i == 0 || pieces[i - 1].until < pieces[i].from);
                sum += pieces[i].until - pieces[i].from;
            }
            EXPECT_EQ(sum, task(job).length);
            EXPECT_EQ(pieces.front().from, run(job).run.from);
            EXPECT_EQ(pieces.back().until, run(job).run.until);
            EXPECT_TRUE(pieces.size() == 1 || task(job).interruptible);
            EXPECT_GE(run(job).run.from, earliest(job)) << "not before its time, nor before what it waits for";
        }
    }

    // As all would run if each ran as soon as it may: who is in time then is in time.
    void deadlines_are_kept() const {
        std::vector<Instant> soonest(fleet_.jobs.size());
        for (uint32_t job = 0; job < fleet_.jobs.size(); job++) {  // of these fleets' jobs each waits for earlier ones only
            Instant from = std::max(fleet_.start, task(job).earliest);
            for (uint32_t other : before_[job]) from = std::max(from, soonest[other]);
            soonest[job] = from + task(job).length;
            Instant until = task(job).latest_end - task(job).guard;
            EXPECT_TRUE(soonest[job] > until || run(job).run.until <= until) << job;
        }
    }

    void limits_are_kept() const {
        for (const auto& [row, counts] : counts_)
            for (const auto& [step, runs] : counts) {
                uint32_t limit = limit_of(row);
                int over = runs - int(std::min<uint32_t>(limit, INT32_MAX));
                if (over <= 0) continue;
                int forced = 0, others = 0;
                for (uint32_t job = 0; job < fleet_.jobs.size(); job++) {
                    auto rows = rows_of(fleet_.jobs[job].source, fleet_.jobs[job].target);
                    if (std::find(rows.begin(), rows.end(), row) == rows.end() || !touches(job, step)) continue;
                    (is_forced(run(job).reason) ? forced : others)++;
                }
                EXPECT_TRUE(over <= forced || others == 0) << "step " << step << ": " << over << " over, " << forced << " forced";
            }
    }

    // Who is over a limit has no place of its own within limits and windows.
    void limits_are_broken_for_a_reason() {
        for (uint32_t job = 0; job < fleet_.jobs.size(); job++) {
            if (run(job).reason != Reason::no_capacity) continue;
            count(job, -1);
            for (Instant at = earliest(job); at <= latest_start(job); at += hours(1)) EXPECT_FALSE(in_window(job, at) && has_room(job, at)) << job;
            count(job, 1);
        }
    }

    void windows_are_kept() const {
        for (uint32_t job = 0; job < fleet_.jobs.size(); job++)
            for (const TimeRange& piece : plan_.pieces_of(job))
                EXPECT_TRUE(is_forced(run(job).reason) || in_window(job, piece)) << job;
    }

    void none_is_heavier_than_at_once() {
        for (uint32_t job = 0; job < fleet_.jobs.size(); job++) {
            double now = run(job).weight_now;
            if (is_forced(run(job).reason) || std::isnan(now) || std::isnan(run(job).weight)) continue;
            EXPECT_NEAR(now, weight_at(job, earliest(job)), 1e-6);
            count(job, -1);
            bool could = in_window(job, earliest(job)) && has_room(job, earliest(job));
            EXPECT_TRUE(!could || run(job).weight <= now + 1e-6 * std::abs(now)) << job;
            count(job, 1);
        }
    }

  private:
    const Task& task(uint32_t job) const { return fleet_.jobs[job].task; }
    const FleetRun& run(uint32_t job) const { return plan_.runs[job]; }

    Instant earliest(uint32_t job) const {
        Instant from = std::max(fleet_.start, task(job).earliest);
        for (uint32_t other : before_[job]) from = std::max(from, run(other).run.until);
        return from;
    }
    Instant latest_start(uint32_t job) const {
        Instant until = task(job).latest_end - task(job).guard;
        for (uint32_t other : behind_[job]) until = std::min(until, run(other).run.from);
        return until - task(job).length;
    }

    double weight_at(uint32_t job, Instant at) const {
        const FleetJob& of = fleet_.jobs[job];
        return double(of.source_kw) * fleet_.weights[of.source_weights].of(at, at + of.task.length) +
               double(of.target_kw) * fleet_.weights[of.target_weights].of(at, at + of.task.length);
    }

    bool in_window(uint32_t job, const TimeRange& piece) const {
        if (fleet_.jobs[job].windows == always_open) return true;
        const auto& windows = fleet_.windows[fleet_.jobs[job].windows];
        return std::any_of(windows.begin(), windows.end(),
                           [&](const TimeRange& open) { return open.from <= piece.from && piece.until <= open.until; });
    }
    bool in_window(uint32_t job, Instant at) const { return in_window(job, TimeRange{at, at + task(job).length}); }

    // Rows of limits: 0 in all, then sources, then targets.
    std::array<size_t, 3> rows_of(uint32_t source, uint32_t target) const {
        return {0, 1 + source, 1 + fleet_.source_runs_max.size() + target};
    }
    uint32_t limit_of(size_t row) const {
        if (row == 0) return fleet_.runs_max;
        row--;
        return row < fleet_.source_runs_max.size() ? fleet_.source_runs_max[row] : fleet_.target_runs_max[row - fleet_.source_runs_max.size()];
    }

    std::vector<bool> steps_of(std::span<const TimeRange> pieces) const {
        std::vector<bool> steps(fleet_.steps);
        for (uint32_t i = 0; i < fleet_.steps; i++)
            for (const TimeRange& piece : pieces)
                if (piece.from < fleet_.start + fleet_.step * (i + 1) && piece.until > fleet_.start + fleet_.step * i) steps[i] = true;
        return steps;
    }
    bool touches(uint32_t job, uint32_t step) const { return steps_of(plan_.pieces_of(job))[step]; }

    void count(uint32_t source, uint32_t target, std::span<const TimeRange> pieces, int by) {
        auto steps = steps_of(pieces);
        for (uint32_t i = 0; i < fleet_.steps; i++)
            if (steps[i])
                for (size_t row : rows_of(source, target)) counts_[row][i] += by;
    }
    void count(uint32_t job, int by) { count(fleet_.jobs[job].source, fleet_.jobs[job].target, plan_.pieces_of(job), by); }

    bool has_room(uint32_t job, Instant at) {
        TimeRange piece{at, at + task(job).length};
        auto steps = steps_of({&piece, 1});
        for (uint32_t i = 0; i < fleet_.steps; i++)
            if (steps[i])
                for (size_t row : rows_of(fleet_.jobs[job].source, fleet_.jobs[job].target))
                    if (int64_t(counts_[row][i]) >= int64_t(limit_of(row))) return false;
        return true;
    }

    const Fleet& fleet_;
    const FleetPlan& plan_;
    std::vector<std::vector<uint32_t>> before_, behind_;
    std::map<size_t, std::map<uint32_t, int>> counts_;  // by row and step
};

Fleet random_fleet(uint64_t seed) {
    figures::Draw draw(seed);
    auto zones = figures::synthetic_zones(5, start, 96, seed);
    if (draw.chance(0.5)) {
        auto values = zones[1].values();
        for (int i = draw.between(0, 40), end = i + draw.between(1, 30); i < end; i++) values[size_t(i)] = NAN;
        zones[1] = carbon::StepSeries(start, hours(1), values);
    }
    Fleet fleet = figures::large_fleet(size_t(draw.between(50, 400)), zones, seed).fleet;
    if (draw.chance(0.5)) fleet.runs_max = uint32_t(draw.between(1, 12));
    for (FleetJob& job : fleet.jobs) {
        if (draw.chance(0.1)) job.task.latest_end = job.task.earliest + job.task.length + Seconds(draw.between(-3600, 7200));
        if (draw.chance(0.3)) job.task.gain_min = 0;
    }
    return fleet;
}

template <class Expectation>
void of_random_fleets(const Expectation& expectation) {
    uint64_t seed = std::random_device()();
    for (uint64_t i = 0; i < 25; i++) {
        SCOPED_TRACE(seed + i);
        Fleet fleet = random_fleet(seed + i);
        auto plan = plan_fleet(fleet);
        ASSERT_TRUE(plan);
        Check check(fleet, *plan);
        expectation(check);
    }
}

TEST(FleetPlans, run_all_of_every_job_after_what_it_waits_for) {
    of_random_fleets([](Check& check) { check.runs_are_whole(); });
}

TEST(FleetPlans, miss_no_deadline_that_can_be_kept) {
    of_random_fleets([](Check& check) { check.deadlines_are_kept(); });
}

TEST(FleetPlans, go_over_limits_only_with_a_reason) {
    of_random_fleets([](Check& check) { check.limits_are_kept(), check.limits_are_broken_for_a_reason(); });
}

TEST(FleetPlans, leave_windows_only_with_a_reason) {
    of_random_fleets([](Check& check) { check.windows_are_kept(); });
}

TEST(FleetPlans, are_never_heavier_than_running_at_once) {
    of_random_fleets([](Check& check) { check.none_is_heavier_than_at_once(); });
}

TEST(FleetPlans, are_the_same_for_the_same_fleet) {
    Fleet fleet = random_fleet(5), again = random_fleet(5);
    FleetPlan one = *plan_fleet(fleet), other = *plan_fleet(again);
    EXPECT_EQ(one.pieces, other.pieces);
    ASSERT_EQ(one.runs.size(), other.runs.size());
    for (size_t i = 0; i < one.runs.size(); i++) {
        EXPECT_EQ(one.runs[i].run, other.runs[i].run);
        EXPECT_EQ(one.runs[i].reason, other.runs[i].reason);
        EXPECT_TRUE(one.runs[i].weight == other.runs[i].weight || std::isnan(one.runs[i].weight));
    }
}

TEST(FleetPlans, take_less_than_200_bytes_a_job_to_make) {
    constexpr size_t jobs = 20'000;
    Fleet fleet = figures::large_fleet(jobs, figures::synthetic_zones(20, start, 96, 1), 1).fleet;
    figures::count_from_here();
    auto plan = plan_fleet(fleet);
    size_t bytes = figures::bytes_held_max();
    ASSERT_TRUE(plan);
    EXPECT_LT(bytes, 200 * jobs) << "the plan included";
}

}  // namespace
}  // namespace hyper::scheduler
