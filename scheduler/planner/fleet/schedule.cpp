// SPDX-License-Identifier: Apache-2.0
#include "scheduler/planner/fleet/schedule.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace hyper::scheduler {

Schedule::Schedule(const Fleet& fleet, const Frame& frame, const FleetOrder& order)
    : fleet_(fleet), frame_(frame), order_(order), limits_(fleet, frame), placer_(fleet, frame, limits_) {
    plan_.runs.resize(fleet.jobs.size());
}

Span Schedule::bounds(uint32_t job) const {
    Span bounds{frame_.earliest(fleet_.jobs[job]), order_.until(job)};
    for (uint32_t other : order_.before(job))
        if (is_placed(other)) bounds.from = std::max(bounds.from, frame_.seconds(run(other).run.until));
    for (uint32_t other : order_.behind(job))
        if (is_placed(other)) bounds.until = std::min(bounds.until, frame_.seconds(run(other).run.from));
    return bounds;
}

void Schedule::expect(uint32_t job) const {
    auto begin = reinterpret_cast<const char*>(&fleet_.jobs[job]);
    __builtin_prefetch(begin), __builtin_prefetch(begin + sizeof(FleetJob) - 1), __builtin_prefetch(&plan_.runs[job]);
    order_.expect(job);
}

void Schedule::put(uint32_t job, const FleetRun& run) {
    assert(!is_placed(job));
    FleetRun& mine = plan_.runs[job] = run;
    mine.first_piece = uint32_t(plan_.pieces.size());
    if (mine.piece_count) plan_.pieces.insert(plan_.pieces.end(), placer_.pieces().begin(), placer_.pieces().end());
    visit_steps(pieces_of(job), [&](StepRange steps) { limits_.take(fleet_.jobs[job], steps); });
}

FleetRun Schedule::remove(uint32_t job) {
    assert(is_placed(job));
    visit_steps(pieces_of(job), [&](StepRange steps) { limits_.give_back(fleet_.jobs[job], steps); });
    return std::exchange(plan_.runs[job], {});
}

void Schedule::take_back(uint32_t job) {
    plan_.pieces.resize(remove(job).first_piece);
}

void Schedule::restore(uint32_t job, const FleetRun& run) {
    plan_.runs[job] = run;
    visit_steps(pieces_of(job), [&](StepRange steps) { limits_.take(fleet_.jobs[job], steps); });
}

void Schedule::renew_weight_now(uint32_t job) {
    int64_t from = bounds(job).from;
    plan_.runs[job].weight_now = placer_.weight_of(job, {from, from + fleet_.jobs[job].task.length.count()});
}

FleetPlan Schedule::take_plan() {
    // What removed runs have left goes.
    std::vector<TimeRange> kept;
    size_t count = 0;
    for (const FleetRun& run : plan_.runs) count += run.piece_count;
    kept.reserve(count);
    for (FleetRun& run : plan_.runs) {
        auto first = plan_.pieces.begin() + run.first_piece;
        run.first_piece = uint32_t(kept.size());
        kept.insert(kept.end(), first, first + run.piece_count);
    }
    plan_.pieces = std::move(kept);
    return std::move(plan_);
}

}  // namespace hyper::scheduler
