// SPDX-License-Identifier: Apache-2.0
// Weights by the hour, for tests.
#pragma once

#include <utility>
#include <vector>

#include "scheduler/planner/weights.h"

namespace hyper::scheduler {

constexpr Instant start{std::chrono::hours(24 * 365)};

inline Weights hourly(std::vector<double> values) {
    return Weights(carbon::StepSeries(start, std::chrono::hours(1), std::move(values)));
}

}  // namespace hyper::scheduler
