// SPDX-License-Identifier: Apache-2.0
// What one second of a run weighs, by time: grams, money, or a sum of both that the caller has made. Built once from a series
// and shared by all jobs of a zone; immutable, so thread-safe.
#pragma once

#include <cstddef>
#include <vector>

#include "carbon/step_series.h"

namespace hyper::scheduler {

class Weights {
  public:
    Weights() = default;
    // The weight of a run is the series' value times its hours. Gaps are not known: nothing is planned into them.
    explicit Weights(const carbon::StepSeries& series);

    Instant start() const { return start_; }
    Instant end() const { return start_ + step_ * (sums_.empty() ? 0 : sums_.size() - 1); }
    Seconds step() const { return step_; }
    size_t size() const { return sums_.empty() ? 0 : sums_.size() - 1; }

    // Whether every moment of [from, until) has a weight.
    bool known(Instant from, Instant until) const;
    // The weight of a run over [from, until); known(from, until) must hold.
    double of(Instant from, Instant until) const { return sum_until(until) - sum_until(from); }

  private:
    double sum_until(Instant instant) const;

    Instant start_{};
    Seconds step_{3600};
    std::vector<double> sums_;    // of all steps before
    std::vector<uint32_t> gaps_;  // how many of them
};

}  // namespace hyper::scheduler
