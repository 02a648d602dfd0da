// SPDX-License-Identifier: Apache-2.0
// A fleet's plan in the making: who runs when, and what the limits have left. Bound to one thread.
#pragma once

#include <algorithm>

#include "scheduler/planner/fleet/order.h"
#include "scheduler/planner/fleet/placer.h"

namespace hyper::scheduler {

class Schedule {
  public:
    Schedule(const Fleet& fleet, const Frame& frame, const FleetOrder& order);

    // Between the ends of those that the job waits for and the starts of those that wait for it, as far as they are placed.
    Span bounds(uint32_t job) const;
    // Fetches what is known of a job that is placed soon.
    void expect(uint32_t job) const;
    // Where the job runs best now. It is not placed.
    FleetRun seek(uint32_t job) { return placer_.place(job, bounds(job)); }
    // Places it where seek() has just said.
    void put(uint32_t job, const FleetRun& run);
    // Takes its run away, which restore() brings back.
    FleetRun remove(uint32_t job);
    // Undoes the put() that was last and is not undone yet.
    void take_back(uint32_t job);
    void restore(uint32_t job, const FleetRun& run);

    bool is_placed(uint32_t job) const { return plan_.runs[job].run.from < plan_.runs[job].run.until; }
    const FleetRun& run(uint32_t job) const { return plan_.runs[job]; }
    // The weight of running at once, which changes when another moves that the job waits for.
    void renew_weight_now(uint32_t job);
    // Calls visit(first step, last step) for each piece of a run.
    template <class Visit>
    void visit_steps(std::span<const TimeRange> pieces, const Visit& visit) const {
        int64_t next = 0;
        for (const TimeRange& piece : pieces) {
            StepRange steps = frame_.touched({frame_.seconds(piece.from), frame_.seconds(piece.until)});
            // Two pieces may meet in a step, which then counts once.
            steps.first = std::max(steps.first, next), next = steps.last + 1;
            visit(steps);
        }
    }
    std::span<const TimeRange> pieces_of(uint32_t job) const { return plan_.pieces_of(job); }

    Placer& placer() { return placer_; }
    const RunLimits& limits() const { return limits_; }
    // Nothing may be asked of the schedule after that.
    FleetPlan take_plan();

  private:
    const Fleet& fleet_;
    const Frame& frame_;
    const FleetOrder& order_;
    RunLimits limits_;
    Placer placer_;
    FleetPlan plan_;
};

}  // namespace hyper::scheduler
