// SPDX-License-Identifier: Apache-2.0
// When a job runs: the core of all planning. A pure function: the same task, weights, capacity and seed give the same plan,
// on every machine; no clock is read, nothing is drawn at random. So a decision can be replayed.
//
//   1. The deadline comes first. A run is planned so that it ends, guard included, by latest_end. Where that is no longer possible
//      the job runs at once, whatever it weighs and whether it fits.
//   2. Of the starts that are left, the lightest. Weights are constant within a step, so the weight of a run is linear between the
//      moments at which its start or its end meets a step's boundary: only those are looked at, and none is missed.
//   3. To wait must be worth it: what is not lighter than running at once by `gain_min` runs at once.
//   4. Among starts that are equally light, also all moments between two of them, the seed decides, so that a thousand jobs
//      with one forecast do not start in the same second.
//
// Weights that end before the window does are used as far as they go: the rest of the window waits for the next issue.
#pragma once

#include <cstdint>
#include <vector>

#include "scheduler/planner/capacity.h"
#include "scheduler/planner/weights.h"

namespace hyper::scheduler {

struct Task {
    Seconds length{};      // that the run is expected to take; at least a second
    Seconds guard{};       // kept free before latest_end: what a slow run takes more, and retries
    Instant earliest{};    // now, or later: dependencies, windows
    Instant latest_end{};  // by the recovery point objective
    bool interruptible = false;
    double gain_min = 0;      // share of the weight of running at once that waiting must save, 0..1
    double equal_within = 0;  // share of it within which starts are equally good
    uint64_t seed = 0;
};

using hyper::TimeRange;

// Why it is this plan.
enum class Reason {
    lightest,        // waiting is worth it
    now_is_best,     // no start in the window is lighter
    gain_too_small,  // one is, but not by gain_min
    deadline,        // no time is left to wait
    no_outlook,      // nothing is known about later, so there is no reason to wait longer than for room
    no_capacity,     // nothing fits before the deadline: it runs in time all the same, over capacity
    no_window,       // no window before the deadline is long enough: it runs outside of them
};

const char* reason_text(Reason reason);

struct Plan {
    std::vector<TimeRange> runs;  // in order of time, not empty; one unless the task is interruptible
    Reason reason;
    double weight = 0;      // of the runs; NaN where not known
    double weight_now = 0;  // of running at once; NaN where not known
};

// `capacity` may be null. Nothing is taken from it.
Plan plan(const Task& task, const Weights& weights, const Capacity* capacity = nullptr);

// The last moment at which the task can start and keep its deadline; earlier than `earliest` if it no longer can.
inline Instant last_start(const Task& task) {
    return task.latest_end - task.guard - task.length;
}

}  // namespace hyper::scheduler
