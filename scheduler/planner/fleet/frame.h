// SPDX-License-Identifier: Apache-2.0
// A fleet's times as seconds since its start, its steps as bits, and its weights as sums by step. Immutable, so thread-safe.
#pragma once

#include <algorithm>

#include "scheduler/planner/fleet/fleet.h"

namespace hyper::scheduler {

// [from, until) in seconds since the fleet's start.
struct Span {
    int64_t from = 0, until = 0;
};

// Steps first..last; none where first is above last.
struct StepRange {
    int64_t first = 0, last = -1;
};

class Frame {
  public:
    static Result<Frame> make(const Fleet& fleet);

    int64_t step() const { return step_; }
    int64_t steps() const { return steps_; }
    int64_t end() const { return step_ * steps_; }
    // 64 steps each.
    size_t words() const { return words_; }
    int64_t seconds(Instant instant) const { return (instant - start_).count(); }
    Instant instant(int64_t seconds) const { return start_ + Seconds(seconds); }
    // The steps that are touched and counted.
    StepRange touched(Span span) const;
    // When it may start: not before the fleet's start.
    int64_t earliest(const FleetJob& job) const { return std::max<int64_t>(0, seconds(job.task.earliest)); }
    // By when it ends.
    int64_t latest_end(const FleetJob& job) const { return seconds(job.task.latest_end - job.task.guard); }
    // In order.
    std::span<const Span> windows(const FleetJob& job) const { return windows_[std::min<size_t>(job.windows, windows_.size() - 1)]; }

    // The sum of all steps before each, steps() + 1 of them; gaps count 0.
    const double* sums(uint32_t weights) const { return &sums_[size_t(weights) * size_t(steps_ + 1)]; }
    // Bits of the steps of which nothing is known; null for none.
    const uint64_t* unknown(uint32_t weights) const { return gaps_[weights] ? &unknown_[weights * words_] : nullptr; }

  private:
    Result<void> read_weights(const Fleet& fleet);

    Instant start_{};
    int64_t step_ = 0, steps_ = 0;
    size_t words_ = 0;
    std::vector<std::vector<Span>> windows_;  // the last one is always open
    std::vector<double> sums_;
    std::vector<uint64_t> unknown_;
    std::vector<bool> gaps_;
};

}  // namespace hyper::scheduler
