// SPDX-License-Identifier: Apache-2.0
// When many jobs run: one plan for all, as planner.h makes one for each, within windows, limits and dependencies. A pure function too: the same
// fleet gives the same plan. One thread; nothing is cut off by time, only by a fixed count of attempts.
//
//   order    what is late first; then by priority, then by what slack windows and deadlines leave; never before what it waits for
//   place    each job at its lightest start among what is still free, by the rules of planner.h
//   repair   who found no room, or a heavier place than it wished for, takes a place from another that loses less by moving on
//
// What comes first where not all can be kept: a deadline, with those of the jobs that wait for this one; then windows; then limits; then weight.
// So a run is over a limit, or outside its windows, only where its deadline leaves nothing else that the repair finds, and then its reason says so.
#pragma once

#include <span>
#include <string_view>

#include "scheduler/planner/planner.h"

namespace hyper::scheduler {

constexpr uint32_t no_limit = UINT32_MAX;
constexpr uint32_t always_open = UINT32_MAX;

struct FleetJob {
    Task task;
    std::string_view name{};  // for messages; borrowed
    // What an hour of the run weighs: source_kw * the source's weight + target_kw * the target's. Indices in Fleet::weights.
    uint32_t source_weights = 0, target_weights = 0;
    float source_kw = 1, target_kw = 0;
    uint32_t windows = always_open;  // index in Fleet::windows
    uint32_t source = 0, target = 0;  // indices of their limits
    uint8_t priority = 0;             // higher goes first
};

// `job` starts when `after` has ended, not before.
struct Dependency {
    uint32_t job = 0, after = 0;
};

// A run that is under way and counts against the limits until it ends.
struct RunningJob {
    TimeRange run{};
    uint32_t source = 0, target = 0;
};

struct Fleet {
    // The steps by which limits are counted, and on which those of all weights lie. No job starts before `start`.
    Instant start{};
    Seconds step{3600};
    uint32_t steps = 96;
    std::vector<Weights> weights;
    std::vector<std::vector<TimeRange>> windows;  // of each policy: in order, apart (Windows::open_times)
    std::vector<FleetJob> jobs;
    std::vector<Dependency> dependencies;
    std::vector<RunningJob> running;
    // How many may run in one step; a step that a run touches counts whole. Beyond the last step nothing is counted.
    uint32_t runs_max = no_limit;
    std::vector<uint32_t> source_runs_max{no_limit}, target_runs_max{no_limit};
};

struct FleetRun {
    TimeRange run{};  // from the first moment to the last
    double weight = 0, weight_now = 0;  // as of Plan
    uint32_t first_piece = 0, piece_count = 0;  // of an interruptible job that is interrupted; see pieces_of()
    Reason reason = Reason::deadline;
};

struct FleetPlan {
    std::vector<FleetRun> runs;  // by job
    std::vector<TimeRange> pieces;

    std::span<const TimeRange> pieces_of(uint32_t job) const {
        const FleetRun& run = runs[job];
        return run.piece_count ? std::span(pieces).subspan(run.first_piece, run.piece_count) : std::span(&run.run, 1);
    }
};

// EINVAL, naming them, for jobs that wait for each other, and for weights whose steps are not on the fleet's.
Result<FleetPlan> plan_fleet(const Fleet& fleet);

}  // namespace hyper::scheduler
