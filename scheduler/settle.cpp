// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "scheduler/room.h"
#include "scheduler/run_weights.h"
#include "scheduler/simulate.h"

namespace hyper::scheduler {
namespace {

std::optional<double> middle_grams(const RunWeights& run, const std::vector<TimeRange>& stretches) {
    auto grams = run.grams(stretches);
    if (!grams) return std::nullopt;
    return grams->middle;
}

}  // namespace

Settled settle(const Job& job, const World& truth, const std::vector<TimeRange>& stretches, uint64_t bytes, Instant earliest, std::optional<Instant> deadline) {
    Settled settled;
    Seconds length{};
    for (const TimeRange& stretch : stretches) length += stretch.until - stretch.from;
    if (length.count() <= 0) return settled;
    const RunWeights run(job, truth, bytes, length);
    settled.grams = middle_grams(run, stretches);

    GlobalLimits no_limits;
    no_limits.runs = no_limits.per_source = no_limits.per_target = 1;
    Task task;
    task.length = length;
    task.earliest = earliest;
    task.latest_end = std::max(deadline.value_or(earliest + length), earliest + length);
    task.interruptible = job.rules.carbon.interrupt;
    Room room(no_limits, earliest, task.latest_end + length);
    Capacity left = room.left_to(job);
    Instant first = room.first_fit(left, earliest, length).value_or(earliest);
    if (first + length > task.latest_end) first = earliest;
    settled.at_once = middle_grams(run, {{first, first + length}});

    World at_earliest{truth.config, truth.states, truth.average, truth.marginal, truth.measures, truth.costs, {}, earliest, 0};
    Weights weights = RunWeights(job, at_earliest, bytes, length).weigh(task.latest_end);
    // What was run shows what was possible, also where it went over a window.
    settled.foresight = settled.grams;
    if (weights.size() > 0) {
        Plan best = plan(task, weights, &left);
        if (best.runs.size() == 1 && best.reason == Reason::no_outlook) best.runs[0] = {first, first + length};
        auto grams = middle_grams(run, best.runs);
        if (grams && settled.grams) settled.foresight = std::min(*grams, *settled.grams);
    }
    if (settled.at_once && settled.foresight) settled.foresight = std::min(*settled.foresight, *settled.at_once);
    return settled;
}

}  // namespace hyper::scheduler
