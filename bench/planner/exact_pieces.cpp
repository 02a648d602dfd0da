// SPDX-License-Identifier: Apache-2.0
// Each job sends as many units as it has steps, at most one into a step, through its source's step and the step of all.
#include <algorithm>

#include "bench/planner/exact.h"
#include "bench/planner/exact_steps.h"
#include "bench/planner/flow.h"

namespace hyper::figures {

std::optional<double> exact_in_pieces(const scheduler::Fleet& fleet) {
    auto jobs = in_steps(fleet);
    auto count = int(jobs.size()), steps = int(fleet.steps), sources = int(fleet.source_runs_max.size());
    auto capacity = [&](uint32_t runs_max) { return int64_t(std::min<uint64_t>(runs_max, jobs.size())); };
    FlowNetwork network;
    auto source_step = [&](int source, int step) { return count + source * steps + step; };
    auto step_node = [&](int step) { return count + sources * steps + step; };
    int sink = step_node(steps);
    network.node_count = sink + 1;
    network.supply.resize(size_t(network.node_count));
    for (int job = 0; job < count; job++) {
        const StepJob& of = jobs[size_t(job)];
        network.supply[size_t(job)] = of.length;
        network.supply[size_t(sink)] -= of.length;
        for (int step = std::max(0, of.earliest); step < std::min(of.latest_end, steps); step++)
            if (of.open[size_t(step)]) network.arcs.push_back({job, source_step(int(of.source), step), 1, of.weights[size_t(step)]});
    }
    for (int step = 0; step < steps; step++) {
        for (int source = 0; source < sources; source++)
            network.arcs.push_back({source_step(source, step), step_node(step), capacity(fleet.source_runs_max[size_t(source)]), 0});
        network.arcs.push_back({step_node(step), sink, capacity(fleet.runs_max), 0});
    }
    return least_cost(network);
}

}  // namespace hyper::figures
