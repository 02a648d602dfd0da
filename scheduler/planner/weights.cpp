// SPDX-License-Identifier: Apache-2.0
#include "scheduler/planner/weights.h"

#include <cmath>

namespace hyper::scheduler {

Weights::Weights(const carbon::StepSeries& series) : start_(series.start()), step_(series.step()) {
    double step_hours = double(step_.count()) / 3600;
    sums_.reserve(series.size() + 1);
    gaps_.reserve(series.size() + 1);
    sums_.push_back(0), gaps_.push_back(0);
    for (double value : series.values()) {
        bool gap = std::isnan(value);
        sums_.push_back(sums_.back() + (gap ? 0 : value * step_hours));
        gaps_.push_back(gaps_.back() + gap);
    }
}

bool Weights::known(Instant from, Instant until) const {
    if (from < start_ || until > end() || from >= until) return false;
    auto first = static_cast<size_t>((from - start_) / step_), last = static_cast<size_t>((until - start_ - Seconds(1)) / step_);
    return gaps_[last + 1] == gaps_[first];
}

double Weights::sum_until(Instant instant) const {
    auto index = static_cast<size_t>((instant - start_) / step_);
    if (index >= size()) return sums_.back();
    double share = double((instant - start_ - step_ * index).count()) / double(step_.count());
    return sums_[index] + share * (sums_[index + 1] - sums_[index]);
}

}  // namespace hyper::scheduler
