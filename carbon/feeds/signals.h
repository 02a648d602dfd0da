// SPDX-License-Identifier: Apache-2.0
// All zones of one kind of intensity, with the feeds that tell of them: polls, stores, and gives outlooks from what is there.
//
//     feeds --poll()--> store, memories --> chains --outlook(), status()--> scheduler
//
// Asking is one thing and looking another: outlook() and status() never wait for a service.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "carbon/feeds/feed_store.h"
#include "carbon/feeds/poll_schedule.h"
#include "carbon/feeds/zone_chain.h"

namespace hyper::carbon {

// Thread-safe.
template <SignalKind kind>
class Signals {
  public:
    // `feeds` in the order in which they are preferred, unless a zone has another. `store` may be null: then nothing outlives this. The seed makes the
    // jitter of polls.
    Signals(std::vector<std::unique_ptr<Feed<kind>>> feeds, const FeedStore* store, uint64_t seed);

    // Reads what is stored of it. The zone is today's id (zones.h). `names`: the feeds that it has, the best first, as far as they are of this kind and
    // offer it; all that do, if left out. Errors: what the store's files say; EEXIST.
    using Names = std::optional<std::vector<std::string>>;
    Result<void> add_zone(const std::string& zone, const IntensitySeries<kind>& table = {}, const Names& names = {});
    bool has_zone(const std::string& zone) const;

    size_t feed_count() const { return feeds_.size(); }
    // Asks that feed about its zones that are due, one after the other; returns at once where another thread is asking it. What fails of the
    // service itself is not asked for another zone. Each call ends by its deadline (caller.h). `stopping`, asked between calls, ends it, and what fails
    // then says nothing of the service. True where something became known, or where asking fails and did not before, or the other way round.
    bool poll(size_t feed, Instant now, const std::function<bool()>& stopping = {});
    // When poll() will have something to do; Instant::max() for a feed that has none of the zones.
    Instant next_poll(size_t feed) const;

    // Errors: ENOENT for a zone that was not added.
    Result<ZoneOutlook> outlook(const std::string& zone, Instant now, Instant until) const;
    Result<CarbonStatus> status(const std::string& zone, Instant now) const;
    // As it was measured, with gaps, for settling what a run has emitted.
    Result<IntensitySeries<kind>> measured(const std::string& zone, Instant from, Instant until) const;

  private:
    struct FeedSlot {
        std::unique_ptr<Feed<kind>> feed;
        PollSchedule service;     // after failures of all of it
        std::optional<FeedFailure> failure{};  // of all of it
        bool in_flight = false;
    };
    struct ZoneFeed {
        size_t feed = 0;
        PollSchedule schedule;
        std::optional<AnswerFile> file;
    };
    struct Zone {
        ZoneChain chain;
        std::vector<ZoneFeed> feeds;  // those that offer it, in the chain's order
    };
    struct Due {
        std::string zone;
        size_t place = 0;  // of the feed in the zone's chain
    };
    std::vector<Due> due(size_t feed, Instant now) const;
    Instant next_of(const ZoneFeed& feed) const { return std::max(feed.schedule.next(), feeds_[feed.feed].service.next()); }
    std::vector<size_t> order(const Names& names) const;
    struct Taken {
        bool go_on = true;  // the next zone may be asked for
        bool news = false;
    };
    Taken take(size_t feed, const Due& due, FeedResult<Report<kind>> answer, Instant now);
    // True where something became known.
    bool keep(Zone& zone, size_t place, const Report<kind>& report, Instant now);

    const FeedStore* const store_;
    const uint64_t seed_;
    mutable std::mutex mutex_;
    std::vector<FeedSlot> feeds_;       // guarded by mutex_; feed is used by who has set in_flight
    std::map<std::string, Zone> zones_;  // guarded by mutex_
};

using AverageSignals = Signals<SignalKind::average>;
using MarginalSignals = Signals<SignalKind::marginal>;

}  // namespace hyper::carbon
