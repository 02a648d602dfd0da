// SPDX-License-Identifier: Apache-2.0
#include "carbon/step_series.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

namespace hyper::carbon {

StepSeries::StepSeries(Instant start, Seconds step, std::vector<double> values) : start_(start), step_(step), values_(std::move(values)) {
    assert(step.count() > 0);
    for (double& value : values_)
        if (!std::isfinite(value)) value = std::numeric_limits<double>::quiet_NaN();
}

std::optional<double> StepSeries::at(Instant instant) const {
    if (instant < start_ || instant >= end()) return std::nullopt;
    double value = values_[static_cast<size_t>((instant - start_) / step_)];
    if (std::isnan(value)) return std::nullopt;
    return value;
}

StepSeries::Sum StepSeries::sum(Instant from, Instant until) const {
    Sum sum;
    from = std::max(from, start_), until = std::min(until, end());
    while (from < until) {
        auto index = (from - start_) / step_;
        Instant next = std::min(until, start_ + step_ * (index + 1));
        double value = values_[static_cast<size_t>(index)];
        if (!std::isnan(value)) {
            sum.value_seconds += value * static_cast<double>((next - from).count());
            sum.known_seconds += (next - from).count();
        }
        from = next;
    }
    return sum;
}

std::optional<double> StepSeries::mean(Instant from, Instant until) const {
    return mean_of_known(from, until, 1);
}

std::optional<double> StepSeries::mean_of_known(Instant from, Instant until, double known_min) const {
    if (from >= until) return std::nullopt;
    Sum of = sum(from, until);
    if (of.known_seconds == 0 || double(of.known_seconds) < known_min * double((until - from).count())) return std::nullopt;
    return of.value_seconds / double(of.known_seconds);
}

}  // namespace hyper::carbon
