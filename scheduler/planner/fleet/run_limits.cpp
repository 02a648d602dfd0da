// SPDX-License-Identifier: Apache-2.0
#include "scheduler/planner/fleet/run_limits.h"

#include <algorithm>

namespace hyper::scheduler {

RunLimits::RunLimits(const Fleet& fleet, const Frame& frame) : frame_(frame), steps_(size_t(frame.steps())) {
    std::vector<uint32_t> at_source(fleet.source_runs_max.size()), at_target(fleet.target_runs_max.size());
    for (const FleetJob& job : fleet.jobs) at_source[job.source]++, at_target[job.target]++;
    for (const RunningJob& job : fleet.running) at_source[job.source]++, at_target[job.target]++;
    global_ = add_row(fleet.runs_max, fleet.jobs.size() + fleet.running.size());
    for (size_t i = 0; i < at_source.size(); i++) source_rows_.push_back(add_row(fleet.source_runs_max[i], at_source[i]));
    for (size_t i = 0; i < at_target.size(); i++) target_rows_.push_back(add_row(fleet.target_runs_max[i], at_target[i]));
    for (const RunningJob& job : fleet.running)
        count(job.source, job.target, frame.touched({frame.seconds(job.run.from), frame.seconds(job.run.until)}), -1);
}

uint32_t RunLimits::add_row(uint32_t runs_max, size_t jobs) {
    if (runs_max >= jobs) return none;
    free_.insert(free_.end(), steps_, int32_t(std::min<uint32_t>(runs_max, INT32_MAX)));
    full_.insert(full_.end(), frame_.words(), runs_max == 0 ? ~uint64_t(0) : 0);
    return row_count_++;
}

void RunLimits::count(uint32_t source, uint32_t target, StepRange steps, int by) {
    for (uint32_t row : {global_, source_rows_[source], target_rows_[target]}) {
        if (row == none) continue;
        int32_t* free = &free_[row * steps_];
        uint64_t* full = &full_[row * frame_.words()];
        for (int64_t i = steps.first; i <= steps.last; i++) {
            free[i] += by;
            uint64_t bit = uint64_t(1) << (i % 64);
            full[i / 64] = free[i] <= 0 ? full[i / 64] | bit : full[i / 64] & ~bit;
        }
    }
}

bool RunLimits::fits(const FleetJob& job, StepRange steps) const {
    Rows of = rows(job);
    for (uint32_t row : {of.global, of.source, of.target}) {
        if (row == none) continue;
        const uint64_t* bits = &full_[row * frame_.words()];
        for (int64_t i = steps.first; i <= steps.last; i++)
            if (bits[i / 64] >> (i % 64) & 1) return false;
    }
    return true;
}

void RunLimits::add_full(const FleetJob& job, uint64_t* bits) const {
    Rows of = rows(job);
    for (uint32_t row : {of.global, of.source, of.target})
        if (row != none)
            for (size_t word = 0; word < frame_.words(); word++) bits[word] |= full_[row * frame_.words() + word];
}

int64_t RunLimits::excess(const FleetJob& job, StepRange steps) const {
    int64_t sum = 0;
    Rows of = rows(job);
    for (uint32_t row : {of.global, of.source, of.target})
        if (row != none)
            for (int64_t i = steps.first; i <= steps.last; i++) sum += std::max(0, 1 - free_[row * steps_ + size_t(i)]);
    return sum;
}

}  // namespace hyper::scheduler
