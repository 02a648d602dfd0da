// SPDX-License-Identifier: Apache-2.0
// How a feed errs, learned from its own past issues, and its newest issue set right. Only what was measured before
// an issue is used for it, so a replay of history cannot know better than the program did then.
//
// Two steps, as weather services do it ("model output statistics", Glahn and Lowry, 1972):
//   1. Bias by lead hour: the mean of (measured - forecast) at the same lead hour and its two neighbours. An error counts by half for
//      every six weeks that it is old, and by half again where it fell on a work day and this hour does not, or the other
//      way round. With few errors the mean is drawn to 0.
//   2. Damping by lead day: how much of a departure from what is usual at that hour of the week (profile.h) came true, by least squares
//      over the issues remembered; with few of them it is drawn to "all of it". A forecast of the far end promises more
//      than it keeps, and a planner would chase what won't come. A dip of a single hour is trusted a little less than a wide one.
#pragma once

#include <cstddef>
#include <deque>
#include <vector>

#include "carbon/intensity.h"

namespace hyper::carbon {

// Bound to one thread. What it gives is a function of what it was given, in order.
class ForecastCorrection {
  public:
    // Takes the newest issue, corrects it and remembers it. `measured` is what is known at `issued_at`; what it
    // holds of later is not looked at. Issues come in order of time; the result has the steps of `series`.
    StepSeries correct(Instant issued_at, const StepSeries& series, const StepSeries& measured);

    // How many issues are remembered; the oldest is forgotten first. Of issues less than `issues_apart` from the one before, none is.
    static constexpr size_t issues_max = 60;
    static constexpr Seconds issues_apart = std::chrono::hours(12);
    static constexpr size_t lead_hours_max = 168;

  private:
    // By lead hour; NaN where unknown.
    struct Issue {
        Instant issued_at, first_hour;
        std::vector<double> raw, unbiased, usual;
    };
    std::vector<double> biases(const Issue& issue, const StepSeries& measured) const;
    double kept_share(size_t lead_day, Instant now, const StepSeries& measured) const;

    std::deque<Issue> issues_;
};

}  // namespace hyper::carbon
