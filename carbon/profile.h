// SPDX-License-Identifier: Apache-2.0
// The fall-back that needs no forecast: what is usual in a zone at that hour of the week, learned from what was measured.
#pragma once

#include <array>
#include <cstddef>

#include "carbon/intensity.h"

namespace hyper::carbon {

// Entry of hour h of weekday d: the mean of what was measured in the last four weeks of which anything is known, at that hour of
// the day, where a day counts by half for each week that it is old, and by half again where it is a work day and d is none, or the other
// way round. So seven days are enough to begin with, and they weigh most. Weekdays and hours are those of UTC.
class HourProfile {
  public:
    // Learns from `history` before `now`; hours with less than half known are left out. An empty history gives an empty profile.
    static HourProfile learn(const StepSeries& history, Instant now);

    bool empty() const { return empty_; }
    // Hourly, from the hour of `from` to that of `until`; empty if the profile is. An hour of the day that was never
    // seen has the mean of the others.
    StepSeries predict(Instant from, Instant until) const;

  private:
    bool empty_ = true;
    std::array<double, 168> of_week_{};  // Monday 00:00 first
};

// The same, typed.
template <SignalKind kind>
IntensitySeries<kind> profile_outlook(const IntensitySeries<kind>& history, Instant now, Instant until) {
    return IntensitySeries<kind>(HourProfile::learn(history, now).predict(now, until));
}

}  // namespace hyper::carbon
