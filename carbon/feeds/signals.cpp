// SPDX-License-Identifier: Apache-2.0
#include "carbon/feeds/signals.h"

#include <cerrno>

#include "blockengine/base/bytes.h"
#include "blockengine/base/hash.h"
#include "blockengine/base/log.h"

namespace hyper::carbon {
namespace {

// The same name and seed give the same jitter on every machine.
uint64_t seed_of(uint64_t seed, const std::string& name) {
    std::string text = fmt::format("{} {}", seed, name);
    Hash128 hash = xxh3_128(bytes_of_text(text));
    return load_le<uint64_t>(hash.data());
}

}  // namespace

template <SignalKind kind>
Signals<kind>::Signals(std::vector<std::unique_ptr<Feed<kind>>> feeds, const FeedStore* store, uint64_t seed) : store_(store), seed_(seed) {
    for (auto& feed : feeds) {
        PollSchedule service(feed->about().step, seed_of(seed, feed->about().name));
        feeds_.push_back({std::move(feed), std::move(service)});
    }
}

// The feeds of those names, or all. No lock is needed: what is asked of feeds here does not change.
template <SignalKind kind>
std::vector<size_t> Signals<kind>::order(const Names& names) const {
    std::vector<size_t> found;
    for (size_t i = 0; i < feeds_.size() && !names; i++) found.push_back(i);
    for (const std::string& name : names.value_or(std::vector<std::string>()))
        for (size_t i = 0; i < feeds_.size(); i++)
            if (feeds_[i].feed->about().name == name) found.push_back(i);
    return found;
}

template <SignalKind kind>
Result<void> Signals<kind>::add_zone(const std::string& zone, const IntensitySeries<kind>& table, const Names& names) {
    if (has_zone(zone)) return fail(EEXIST, "zone {}: is there twice", zone);
    std::vector<FeedAbout> abouts;
    std::vector<ZoneFeed> zone_feeds;
    std::vector<std::vector<StoredAnswer>> stored;
    for (size_t i : order(names)) {
        const Feed<kind>& feed = *feeds_[i].feed;
        if (!feed.offers(zone)) continue;
        abouts.push_back(feed.about());
        zone_feeds.push_back({i, PollSchedule(feed.about().step, seed_of(seed_, feed.about().name + " " + zone)), {}});
        stored.emplace_back();
        if (store_ == nullptr) continue;
        zone_feeds.back().file = TRY(store_->open_answers(feed.about().name, zone, kind));
        stored.back() = zone_feeds.back().file->take_answers();
    }
    Zone made{ZoneChain(zone, kind, std::move(abouts), table), std::move(zone_feeds)};
    for (size_t i = 0; i < stored.size(); i++) made.chain.memory(i).take_stored(stored[i]);
    std::lock_guard lock(mutex_);
    for (size_t place = 0; place < made.feeds.size(); place++)
        if (auto& failure = feeds_[made.feeds[place].feed].failure) made.chain.set_failure(place, failure, next_of(made.feeds[place]));
    zones_.emplace(zone, std::move(made));
    return {};
}

template <SignalKind kind>
bool Signals<kind>::has_zone(const std::string& zone) const {
    std::lock_guard lock(mutex_);
    return zones_.contains(zone);
}

template <SignalKind kind>
std::vector<typename Signals<kind>::Due> Signals<kind>::due(size_t feed, Instant now) const {
    std::vector<Due> found;
    for (const auto& [name, zone] : zones_)
        for (size_t place = 0; place < zone.feeds.size(); place++)
            if (zone.feeds[place].feed == feed && next_of(zone.feeds[place]) <= now) found.push_back({name, place});
    return found;
}

template <SignalKind kind>
bool Signals<kind>::poll(size_t feed, Instant now, const std::function<bool()>& stopping) {
    std::vector<Due> asked;
    {
        std::lock_guard lock(mutex_);
        if (feeds_[feed].in_flight) return false;
        asked = due(feed, now);
        feeds_[feed].in_flight = !asked.empty();
    }
    if (asked.empty()) return false;
    bool news = false;
    for (const Due& one : asked) {
        if (stopping && stopping()) break;
        auto answer = feeds_[feed].feed->fetch(one.zone, now);
        if (!answer && stopping && stopping()) break;
        std::lock_guard lock(mutex_);
        Taken taken = take(feed, one, std::move(answer), now);
        news |= taken.news;
        if (!taken.go_on) break;
    }
    std::lock_guard lock(mutex_);
    feeds_[feed].in_flight = false;
    return news;
}

template <SignalKind kind>
typename Signals<kind>::Taken Signals<kind>::take(size_t feed, const Due& one, FeedResult<Report<kind>> answer, Instant now) {
    FeedSlot& slot = feeds_[feed];
    Zone& zone = zones_.at(one.zone);
    PollSchedule& schedule = zone.feeds[one.place].schedule;
    Taken taken;
    const bool failed_before = zone.chain.fails(one.place);
    if (answer) {
        taken.news = keep(zone, one.place, *answer, now);
        if (!answer->missing) {
            schedule.succeeded(now);
            slot.service.reset();
            slot.failure.reset();
            zone.chain.set_failure(one.place, std::nullopt, schedule.next());
            taken.news |= failed_before;
            return taken;
        }
    }
    taken.news |= !failed_before;
    const FeedFailure failure = answer ? *answer->missing : answer.error();
    if (!failed_before) log_warning("feed {}: zone {}: {}", slot.feed->about().name, one.zone, failure.message);
    if (!is_of_the_service(failure.problem)) {
        slot.failure.reset();
        schedule.failed(failure, now);
        zone.chain.set_failure(one.place, failure, schedule.next());
        return taken;
    }
    slot.service.failed(failure, now);
    slot.failure = failure;
    for (auto& entry : zones_)
        for (size_t place = 0; place < entry.second.feeds.size(); place++)
            if (entry.second.feeds[place].feed == feed) entry.second.chain.set_failure(place, failure, next_of(entry.second.feeds[place]));
    taken.go_on = false;
    return taken;
}

template <SignalKind kind>
bool Signals<kind>::keep(Zone& zone, size_t place, const Report<kind>& report, Instant now) {
    FeedMemory& memory = zone.chain.memory(place);
    const StepSeries* forecast = report.forecast ? &report.forecast->series : nullptr;
    auto news = memory.news(report.measured, forecast, report.forecast ? report.forecast->issued_at : now, now);
    for (const StoredAnswer& answer : news) memory.take(answer);
    auto& file = zone.feeds[place].file;
    if (!file) return !news.empty();
    // What cannot be kept still counts until the end of the process.
    if (auto added = file->add(news); !added) log_warning("{}", added.error().message);
    return !news.empty();
}

template <SignalKind kind>
Instant Signals<kind>::next_poll(size_t feed) const {
    std::lock_guard lock(mutex_);
    Instant next = Instant::max();
    for (const auto& entry : zones_)
        for (const ZoneFeed& one : entry.second.feeds)
            if (one.feed == feed) next = std::min(next, next_of(one));
    return next;
}

template <SignalKind kind>
Result<ZoneOutlook> Signals<kind>::outlook(const std::string& zone, Instant now, Instant until) const {
    std::lock_guard lock(mutex_);
    auto found = zones_.find(zone);
    if (found == zones_.end()) return fail(ENOENT, "zone {}: no feed and no table is configured for it", zone);
    return found->second.chain.outlook(now, until);
}

template <SignalKind kind>
Result<CarbonStatus> Signals<kind>::status(const std::string& zone, Instant now) const {
    std::lock_guard lock(mutex_);
    auto found = zones_.find(zone);
    if (found == zones_.end()) return fail(ENOENT, "zone {}: no feed and no table is configured for it", zone);
    return found->second.chain.status(now);
}

template <SignalKind kind>
Result<IntensitySeries<kind>> Signals<kind>::measured(const std::string& zone, Instant from, Instant until) const {
    std::lock_guard lock(mutex_);
    auto found = zones_.find(zone);
    if (found == zones_.end()) return fail(ENOENT, "zone {}: no feed and no table is configured for it", zone);
    return IntensitySeries<kind>(found->second.chain.measured(from, until));
}

template class Signals<SignalKind::average>;
template class Signals<SignalKind::marginal>;

}  // namespace hyper::carbon
