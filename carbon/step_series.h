// SPDX-License-Identifier: Apache-2.0
// Numbers at equal steps of time, with gaps: what a feed of intensities or of prices is made of. A value holds from the
// beginning of its step to the next step. Has no unit: see intensity.h for what has one.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "blockengine/base/instant.h"

namespace hyper::carbon {

class StepSeries {
  public:
    StepSeries() = default;
    // `step` is at least a second. A value that is no finite number is a gap.
    StepSeries(Instant start, Seconds step, std::vector<double> values);

    bool empty() const { return values_.empty(); }
    size_t size() const { return values_.size(); }
    Instant start() const { return start_; }
    Seconds step() const { return step_; }
    Instant end() const { return start_ + step_ * values_.size(); }
    Instant time_of(size_t index) const { return start_ + step_ * index; }
    // NaN for a gap.
    const std::vector<double>& values() const { return values_; }

    // The value that holds at that instant; nothing in a gap or outside.
    std::optional<double> at(Instant instant) const;
    // The mean over [from, until), weighted by time; nothing where any of it is unknown, or the range is empty.
    std::optional<double> mean(Instant from, Instant until) const;
    // As mean(), of what is known; nothing where that is less than `known_min` (0..1] of the range.
    std::optional<double> mean_of_known(Instant from, Instant until, double known_min) const;

  private:
    struct Sum {
        double value_seconds = 0;
        int64_t known_seconds = 0;
    };
    Sum sum(Instant from, Instant until) const;

    Instant start_{};
    Seconds step_{3600};
    std::vector<double> values_;
};

}  // namespace hyper::carbon
