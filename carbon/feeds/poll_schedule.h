// SPDX-License-Identifier: Apache-2.0
// When a service is asked next. Nothing here looks at a clock or draws by chance: times are given, and the seed makes the jitter.
#pragma once

#include <random>

#include "carbon/feeds/feed.h"

namespace hyper::carbon {

// Bound to one thread.
class PollSchedule {
  public:
    // `step`: at which the feed has something new.
    PollSchedule(Seconds step, uint64_t seed) : step_(step), random_(seed) {}

    // Before anything was asked: the beginning of time.
    Instant next() const { return next_; }

    // The next step after `now`, and a moment of its first quarter (of 5 minutes at most), so that not everybody asks at the same second.
    void succeeded(Instant now);
    // For what has no steps of its own: free at once.
    void reset() { failures_ = 0, next_ = Instant(); }
    // A moment between now and a wait that doubles with each failure in a row, from 30 s to an hour; from 10 minutes where only
    // somebody's doing can help. Not before what the service asked for.
    void failed(const FeedFailure& failure, Instant now);

    static constexpr Seconds wait_max = std::chrono::hours(1);

  private:
    Seconds draw(Seconds below) { return Seconds(static_cast<int64_t>(random_() % static_cast<uint64_t>(std::max<int64_t>(1, below.count())))); }

    const Seconds step_;
    std::mt19937_64 random_;
    Instant next_{};
    int failures_ = 0;
};

}  // namespace hyper::carbon
