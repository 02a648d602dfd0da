// SPDX-License-Identifier: Apache-2.0
// Single values of a service's answer, made a series: sorted, at equal steps, gaps where there is none.
#pragma once

#include <vector>

#include "carbon/feeds/feed.h"

namespace hyper::carbon {

struct Point {
    Instant at{};
    double grams_per_kwh = 0;
    bool estimated = false;
};

// No answer has more: 35 days in steps of 5 minutes are 10080.
inline constexpr size_t points_max = 12'000;
// What no grid emits: the dirtiest coal lies at some 1200, and a marginal value may be below zero, but not as far.
inline constexpr double grams_per_kwh_max = 4000;

// The step is the least distance between two points, but not more than `usual_step`. EBADMSG for more than points_max steps, for steps of less
// than a minute, for a point between two steps, and for a value that can be no g/kWh. Of two points at one time the later in the list holds. No
// points: an empty series.
Result<MeasuredSteps> steps_of(std::vector<Point> points, Seconds usual_step);

}  // namespace hyper::carbon
