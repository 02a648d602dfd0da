// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "scheduler/room.h"
#include "scheduler/run_weights.h"
#include "scheduler/simulate.h"

namespace hyper::scheduler {
namespace {

// The middle estimate of a run in pieces: its energy is spread evenly over them.
std::optional<double> grams_of(const Job& job, const World& truth, const std::vector<TimeRange>& stretches, uint64_t bytes, Seconds length) {
    double sum = 0;
    for (const TimeRange& stretch : stretches) {
        Seconds part = stretch.until - stretch.from;
        if (part.count() <= 0) continue;
        auto share = static_cast<uint64_t>(double(bytes) * double(part.count()) / double(length.count()));
        auto grams = RunWeights(job, truth, share, part).grams(stretch.from);
        if (!grams) return std::nullopt;
        sum += grams->middle;
    }
    return sum;
}

}  // namespace

Settled settle(const Job& job, const World& truth, const std::vector<TimeRange>& stretches, uint64_t bytes, Instant earliest, std::optional<Instant> deadline) {
    Settled settled;
    Seconds length{};
    for (const TimeRange& stretch : stretches) length += stretch.until - stretch.from;
    if (length.count() <= 0) return settled;
    settled.grams = grams_of(job, truth, stretches, bytes, length);

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
    settled.at_once = grams_of(job, truth, {{first, first + length}}, bytes, length);

    World at_earliest{truth.config, truth.states, truth.average, truth.marginal, truth.measures, truth.costs, {}, earliest, 0};
    Weights weights = RunWeights(job, at_earliest, bytes, length).weigh(task.latest_end);
    // What was run shows what was possible, also where it went over a window.
    settled.foresight = settled.grams;
    if (weights.size() > 0) {
        Plan best = plan(task, weights, &left);
        if (best.runs.size() == 1 && best.reason == Reason::no_outlook) best.runs[0] = {first, first + length};
        auto grams = grams_of(job, truth, best.runs, bytes, length);
        if (grams && settled.grams) settled.foresight = std::min(*grams, *settled.grams);
    }
    if (settled.at_once && settled.foresight) settled.foresight = std::min(*settled.foresight, *settled.at_once);
    return settled;
}

}  // namespace hyper::scheduler
