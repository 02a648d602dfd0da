// SPDX-License-Identifier: Apache-2.0
// How many more runs each step has room for: in all, at each source, at each target. Limits that the jobs there are too few to reach are not
// kept count of. Bound to one thread.
#pragma once

#include "scheduler/planner/fleet/frame.h"

namespace hyper::scheduler {

class RunLimits {
  public:
    RunLimits(const Fleet& fleet, const Frame& frame);

    // May go over what there is room for.
    void take(const FleetJob& job, StepRange steps) { count(job.source, job.target, steps, -1); }
    void give_back(const FleetJob& job, StepRange steps) { count(job.source, job.target, steps, 1); }
    bool fits(const FleetJob& job, StepRange steps) const;
    // Sets the bits of the steps that have no room for the job.
    void add_full(const FleetJob& job, uint64_t* bits) const;
    // By how much one more run would be over, summed over steps and limits.
    int64_t excess(const FleetJob& job, StepRange steps) const;

    // The limits that count for a job, of which some may be none.
    static constexpr uint32_t none = UINT32_MAX;
    struct Rows {
        uint32_t global = none, source = none, target = none;
    };
    Rows rows(const FleetJob& job) const { return {global_, source_rows_[job.source], target_rows_[job.target]}; }
    bool full(uint32_t row, int64_t step) const {
        return row != none && full_[row * frame_.words() + size_t(step) / 64] >> (step % 64) & 1;
    }
    bool over(uint32_t row, int64_t step) const { return row != none && free_[row * steps_ + size_t(step)] < 0; }

  private:
    void count(uint32_t source, uint32_t target, StepRange steps, int by);
    uint32_t add_row(uint32_t runs_max, size_t jobs);

    const Frame& frame_;
    size_t steps_;
    uint32_t row_count_ = 0;
    uint32_t global_ = none;
    std::vector<uint32_t> source_rows_, target_rows_;
    std::vector<int32_t> free_;   // by row and step
    std::vector<uint64_t> full_;  // by row, a bit a step
};

}  // namespace hyper::scheduler
