// SPDX-License-Identifier: Apache-2.0
#include "scheduler/planner/planner.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <optional>

#include "scheduler/planner/rounding.h"
#include "scheduler/planner/seed.h"

namespace hyper::scheduler {
namespace {

struct Candidate {
    Instant start;
    double weight;
};

double weight_or_nan(const Weights& weights, Instant from, Instant until) {
    return weights.known(from, until) ? weights.of(from, until) : std::numeric_limits<double>::quiet_NaN();
}

// All starts in [earliest, last] at which the run's start or end meets a boundary, with both ends of the window.
class Candidates {
  public:
    Candidates(const Task& task, const Weights& weights, const Capacity* capacity) : task_(task), weights_(weights), capacity_(capacity) {
        Instant last = std::min(last_start(task), weights.end() - task.length);
        Instant from = std::max(task.earliest, weights.start());
        add(task.earliest);
        Instant start = boundary_after(from), end = boundary_after(from + task.length);
        while (start <= last || end - task.length <= last) {
            Instant next = std::min(start, end - task.length);
            add(next);
            if (start == next) start += weights.step();
            if (end - task.length == next) end += weights.step();
        }
        if (last > task.earliest) add(last);
    }

    const std::vector<Candidate>& list() const { return list_; }

  private:
    Instant boundary_after(Instant instant) const {
        auto steps = (instant - weights_.start()) / weights_.step() + 1;
        return weights_.start() + weights_.step() * steps;
    }

    void add(Instant start) {
        Instant end = start + task_.length;
        if (!list_.empty() && list_.back().start >= start) return;
        if (!weights_.known(start, end) || (capacity_ && !capacity_->fits(start, end))) return;
        list_.push_back({start, weights_.of(start, end)});
    }

    const Task& task_;
    const Weights& weights_;
    const Capacity* capacity_;
    std::vector<Candidate> list_;
};

// One of the moments at which starting weighs at most `weight_max`: of the candidates, and of all between two neighbours that fit.
Instant pick(const std::vector<Candidate>& list, double weight_max, const Task& task, const Weights& weights, const Capacity* capacity) {
    std::vector<TimeRange> spans;  // [from, until], both good
    uint64_t moments = 0;
    for (size_t i = 0; i < list.size(); i++) {
        if (list[i].weight > weight_max) continue;
        Instant until = list[i].start;
        bool joined = i + 1 < list.size() && list[i + 1].weight <= weight_max && list[i + 1].start - until <= weights.step() &&
                      (!capacity || capacity->fits(until, list[i + 1].start + task.length));
        if (joined) until = list[i + 1].start - Seconds(1);
        spans.push_back({list[i].start, until});
        moments += static_cast<uint64_t>((until - list[i].start).count()) + 1;
    }
    uint64_t chosen = mix(task.seed) % moments;
    for (const TimeRange& span : spans) {
        uint64_t here = static_cast<uint64_t>((span.until - span.from).count()) + 1;
        if (chosen < here) return span.from + Seconds(chosen);
        chosen -= here;
    }
    return spans.back().until;
}

Plan at_once(const Task& task, const Weights& weights, Reason reason) {
    TimeRange run{task.earliest, task.earliest + task.length};
    double weight = weight_or_nan(weights, run.from, run.until);
    return {{run}, reason, weight, weight};
}

// Nothing that is known fits: the first moment that does, or the last one that keeps the deadline.
Plan first_that_fits(const Task& task, const Weights& weights, const Capacity& capacity) {
    Task moved = task;
    moved.earliest = last_start(task);
    Reason reason = Reason::no_capacity;
    for (Instant start = task.earliest; start <= last_start(task); start += weights.step()) {
        if (!capacity.fits(start, start + task.length)) continue;
        moved.earliest = start, reason = Reason::no_outlook;
        break;
    }
    Plan made = at_once(moved, weights, reason);
    made.weight_now = weight_or_nan(weights, task.earliest, task.earliest + task.length);
    return made;
}

uint64_t tie(const Task& task, Instant at) {
    return mix(task.seed ^ mix(uint64_t(at.time_since_epoch().count())));
}

// The lightest steps of the window, in parts of steps at its ends and at the last one taken; nothing if they do not suffice.
std::optional<Plan> plan_pieces(const Task& task, const Weights& weights, const Capacity* capacity) {
    Instant end = std::min(task.latest_end - task.guard, weights.end());
    struct Slot {
        TimeRange run;
        double per_second;
        uint64_t tie;
    };
    std::vector<Slot> slots;
    for (Instant at = std::max(task.earliest, weights.start()); at < end;) {
        auto steps = (at - weights.start()) / weights.step() + 1;
        Instant next = std::min(end, weights.start() + weights.step() * steps);
        if (weights.known(at, next) && (!capacity || capacity->fits(at, next)))
            slots.push_back({{at, next}, weights.of(at, next) / double((next - at).count()), tie(task, at)});
        at = next;
    }
    std::sort(slots.begin(), slots.end(), [](const Slot& a, const Slot& b) {
        return a.per_second != b.per_second ? a.per_second < b.per_second : a.tie != b.tie ? a.tie < b.tie : a.run.from < b.run.from;
    });
    Plan made{{}, Reason::lightest, 0, weight_or_nan(weights, task.earliest, task.earliest + task.length)};
    Seconds left = task.length;
    for (const Slot& slot : slots) {
        if (left.count() == 0) break;
        TimeRange run = slot.run;
        run.until = std::min(run.until, run.from + left);
        left -= run.until - run.from;
        made.weight += weights.of(run.from, run.until);
        made.runs.push_back(run);
    }
    if (left.count() > 0) return std::nullopt;
    std::sort(made.runs.begin(), made.runs.end(), [](const TimeRange& a, const TimeRange& b) { return a.from < b.from; });
    std::vector<TimeRange> joined;
    for (const TimeRange& run : made.runs) {
        if (!joined.empty() && joined.back().until == run.from)
            joined.back().until = run.until;
        else
            joined.push_back(run);
    }
    made.runs = std::move(joined);
    return made;
}

}  // namespace

const char* reason_text(Reason reason) {
    switch (reason) {
        case Reason::lightest:
            return "the lightest start of the window";
        case Reason::now_is_best:
            return "no start of the window is lighter than now";
        case Reason::gain_too_small:
            return "waiting would gain too little";
        case Reason::deadline:
            return "the deadline leaves no time to wait";
        case Reason::no_outlook:
            return "nothing is known about later";
        case Reason::no_capacity:
            return "nothing is free before the deadline";
        case Reason::no_window:
            return "no window before the deadline is long enough";
    }
    return "";
}

Plan plan(const Task& task, const Weights& weights, const Capacity* capacity) {
    assert(task.length.count() > 0);
    if (last_start(task) <= task.earliest) return at_once(task, weights, Reason::deadline);
    Candidates candidates(task, weights, capacity);
    const auto& list = candidates.list();
    auto pieces = task.interruptible ? plan_pieces(task, weights, capacity) : std::nullopt;
    if (list.empty() && pieces) return *pieces;
    if (list.empty()) {
        if (!capacity || capacity->fits(task.earliest, task.earliest + task.length)) return at_once(task, weights, Reason::no_outlook);
        return first_that_fits(task, weights, *capacity);
    }
    double now = weight_or_nan(weights, task.earliest, task.earliest + task.length);
    double best = std::min_element(list.begin(), list.end(), [](auto& a, auto& b) { return a.weight < b.weight; })->weight;
    bool now_fits = list.front().start == task.earliest;
    if (pieces && pieces->weight < best - rounding(best)) {
        double gain_min = std::max(rounding(now), task.gain_min * std::abs(now));
        if (!(now_fits && pieces->weight >= now - gain_min)) return *pieces;
    }
    if (now_fits && best >= now - rounding(now)) return at_once(task, weights, Reason::now_is_best);
    if (now_fits && best >= now - task.gain_min * std::abs(now)) return at_once(task, weights, Reason::gain_too_small);
    double good = best + std::max(rounding(best), task.equal_within * std::abs(now_fits ? now : best));
    if (now_fits) good = std::min(good, now - rounding(now));
    Instant start = pick(list, std::max(good, best), task, weights, capacity);
    TimeRange run{start, start + task.length};
    return {{run}, Reason::lightest, weights.of(run.from, run.until), now};
}

}  // namespace hyper::scheduler
