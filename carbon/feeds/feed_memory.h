// SPDX-License-Identifier: Apache-2.0
// What one feed has said of one zone: measured values put together, and issues, corrected by what became of earlier ones. Filled in order, from the
// store and then from the feed itself; both ways give the same.
#pragma once

#include <optional>
#include <vector>

#include "carbon/feeds/feed_store.h"
#include "carbon/outlook.h"

namespace hyper::carbon {

// Bound to one thread.
class FeedMemory {
  public:
    // What is learned from a report, as it is to be stored: only what is new in it.
    std::vector<StoredAnswer> news(const MeasuredSteps& measured, const StepSeries* forecast, Instant issued_at, Instant now) const;
    // Takes what news() gave. Values that lie after `received_at` are no measurements, and are left out; an issue is not later than that. Where the
    // clock was ahead when issues came, these are forgotten with the first that comes after it was put right.
    void take(const StoredAnswer& answer);
    // Takes what was stored, in order. Of issues older than two days only those are looked at that the correction remembers.
    void take_stored(const std::vector<StoredAnswer>& answers);

    bool empty() const { return values_.empty() && !newest_issue_; }
    const StepSeries& measured() const;
    // Whether the value at that instant is an estimate of the service's.
    bool is_estimated(Instant instant) const;
    std::optional<Instant> newest_issue() const { return newest_issue_; }
    // To where the newest issue reaches.
    Instant newest_end() const { return newest_series_.end(); }
    Outlook outlook(Instant now, Instant until, Seconds fresh) const { return maker_.make(now, until, measured(), fresh); }

  private:
    void take_measured(const MeasuredSteps& steps, Instant received_at);
    void take_issue(const StoredAnswer& answer);
    // Its newest issue came when the clock was ahead.
    bool was_ahead(Instant now) const;
    void make_room(Instant from, Instant until, Seconds step, Instant received_at);
    Instant end() const { return start_ + step_ * values_.size(); }

    // What was measured: from start_, which is a multiple of step_.
    Instant start_{};
    Seconds step_{3600};
    std::vector<double> values_;
    std::vector<bool> estimated_;
    mutable std::optional<StepSeries> series_;  // of these, once it was asked for
    OutlookMaker maker_;
    std::optional<Instant> newest_issue_;
    StepSeries newest_series_;
};

}  // namespace hyper::carbon
