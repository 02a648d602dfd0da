// SPDX-License-Identifier: Apache-2.0
// What is expected of the hours to come, from the best that is at hand. Where a feed fails it degrades step by step, and says so for
// every step: the newest issue, else an older one as far as it reaches, else what is usual at that hour of the week.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "carbon/correction.h"
#include "carbon/intensity.h"

namespace hyper::carbon {

// Best first; each is worth less than the one before.
enum class OutlookSource : uint8_t { forecast, older_forecast, profile, unknown };
const char* outlook_source_text(OutlookSource source);

struct Outlook {
    StepSeries series;                   // NaN where unknown
    std::vector<OutlookSource> sources;  // of each of its steps
};

// Collects one zone's feed and makes outlooks of it. Bound to one thread. Everything is a function of what was added, in order.
class OutlookMaker {
  public:
    // The feed's newest issue, at the time it was received; `measured` is what is known then.
    void add_issue(Instant issued_at, const StepSeries& series, const StepSeries& measured);

    // From the step of `now` to `until`, in steps of the newest issue (an hour where there is none). An issue that is older than
    // `fresh` counts as older_forecast. The profile is raised or lowered so that it continues the forecast without a step.
    Outlook make(Instant now, Instant until, const StepSeries& measured, Seconds fresh = std::chrono::hours(25)) const;

    // Without a correction, to measure what the correction is worth.
    void set_corrected(bool corrected) { corrected_ = corrected; }

  private:
    struct Issue {
        Instant issued_at;
        StepSeries series;
    };
    bool corrected_ = true;
    ForecastCorrection correction_;
    std::deque<Issue> issues_;  // newest first
};

// The same, typed: issues and measurements of one kind only.
template <SignalKind kind>
class TypedOutlookMaker {
  public:
    void add_issue(const Forecast<kind>& forecast, const IntensitySeries<kind>& measured) {
        maker_.add_issue(forecast.issued_at, forecast.series, measured);
    }
    Outlook make(Instant now, Instant until, const IntensitySeries<kind>& measured) const { return maker_.make(now, until, measured); }

  private:
    OutlookMaker maker_;
};

}  // namespace hyper::carbon
