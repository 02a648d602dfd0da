// SPDX-License-Identifier: Apache-2.0
#include "bench/planner/exact_steps.h"

namespace hyper::figures {

std::vector<StepJob> in_steps(const scheduler::Fleet& fleet) {
    std::vector<StepJob> jobs;
    for (const scheduler::FleetJob& job : fleet.jobs) {
        auto steps = [&](Instant at) { return int((at - fleet.start) / fleet.step); };
        StepJob made{steps(job.task.earliest), steps(job.task.latest_end), int(job.task.length / fleet.step), job.source, job.target, {}, {}};
        for (uint32_t i = 0; i < fleet.steps; i++) {
            Instant from = fleet.start + fleet.step * i, until = from + fleet.step;
            made.weights.push_back(double(job.source_kw) * fleet.weights[job.source_weights].of(from, until) +
                                   double(job.target_kw) * fleet.weights[job.target_weights].of(from, until));
            bool open = job.windows == scheduler::always_open;
            if (!open)
                for (const TimeRange& window : fleet.windows[job.windows]) open = open || (window.from <= from && until <= window.until);
            made.open.push_back(open);
        }
        jobs.push_back(std::move(made));
    }
    return jobs;
}

}  // namespace hyper::figures
