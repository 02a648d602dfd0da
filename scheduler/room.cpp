// SPDX-License-Identifier: Apache-2.0
#include "scheduler/room.h"

#include <algorithm>

namespace hyper::scheduler {

std::string place_of(const std::string& operand) {
    size_t scheme = operand.find("://");
    if (scheme == operand.npos) {
        size_t slash = operand.rfind('/');
        return slash == operand.npos ? "." : operand.substr(0, slash + 1);
    }
    return operand.substr(0, operand.find('/', scheme + 3));
}

Room::Room(const GlobalLimits& limits, Instant now, Instant horizon) : limits_(limits) {
    // Windows begin at minutes, mostly at quarters; far ahead they need not be met so well.
    step_ = horizon - now > std::chrono::hours(96) ? std::chrono::minutes(15) : std::chrono::minutes(5);
    start_ = Instant(now.time_since_epoch() / step_ * step_);
    steps_ = static_cast<size_t>((horizon - start_) / step_) + 1;
    all_.resize(steps_);
}

size_t Room::index_of(Instant instant) const {
    return std::min(steps_, static_cast<size_t>(std::max(instant - start_, Seconds(0)) / step_));
}

Room::Counts& Room::counts(std::map<std::string, Counts>& of, const std::string& place) {
    Counts& made = of[place];
    if (made.empty()) made.resize(steps_);
    return made;
}

Room::Places Room::places_of(const Job& job) const {
    auto source = sources_.find(place_of(job.source)), target = targets_.find(place_of(job.volume));
    return {source == sources_.end() ? nullptr : &source->second, target == targets_.end() ? nullptr : &target->second};
}

bool Room::full(const Places& places, size_t step) const {
    return all_[step] >= limits_.runs || (places.source && (*places.source)[step] >= limits_.per_source) ||
           (places.target && (*places.target)[step] >= limits_.per_target);
}

const std::vector<bool>& Room::open_steps(const Policy& policy) const {
    std::string key = fmt::format("{}\n{}\n\n{}", policy.timezone, fmt::join(policy.allow, "\n"), fmt::join(policy.deny, "\n"));
    auto [entry, made] = open_.try_emplace(std::move(key));
    std::vector<bool>& open = entry->second;
    if (!made) return open;
    open.assign(steps_, false);
    Instant end = start_ + step_ * steps_;
    // Farther ahead nothing is asked for.
    const std::chrono::days look_ahead = std::chrono::ceil<std::chrono::days>(end - start_) + std::chrono::days(1);
    auto next_open = [&](Instant from) { return policy.windows->open(from) ? std::optional(from) : policy.windows->next_change(from, look_ahead); };
    for (auto from = next_open(start_); from && *from < end;) {
        Instant until = policy.windows->next_change(*from, look_ahead).value_or(end);
        // A step is open if all of it is.
        size_t first = static_cast<size_t>((*from - start_ + step_ - Seconds(1)) / step_);
        for (size_t i = first; i < steps_ && start_ + step_ * (i + 1) <= until; i++) open[i] = true;
        if (until >= end) break;
        from = next_open(until);
    }
    return open;
}

Capacity Room::left_to(const Job& job) const {
    Capacity left(start_, step_, steps_, 1);
    const std::vector<bool>* open = job.rules.windows ? &open_steps(job.rules) : nullptr;
    const Places places = places_of(job);
    for (size_t i = 0; i < steps_; i++)
        if ((open && !(*open)[i]) || full(places, i)) left.take(start_ + step_ * i, start_ + step_ * (i + 1));
    return left;
}

bool Room::limits_fit(const Job& job, Instant from, Instant until) const {
    const Places places = places_of(job);
    for (size_t i = index_of(from); i < std::min(steps_, index_of(until - Seconds(1)) + 1); i++)
        if (full(places, i)) return false;
    return true;
}

void Room::take(const Job& job, Instant from, Instant until) {
    Counts& source = counts(sources_, place_of(job.source));
    Counts& target = counts(targets_, place_of(job.volume));
    for (size_t i = index_of(from); i < std::min(steps_, index_of(until - Seconds(1)) + 1); i++) all_[i]++, source[i]++, target[i]++;
}

std::optional<Instant> Room::first_fit(const Capacity& left, Instant from, Seconds length) const {
    for (Instant at = from; at < start_ + step_ * steps_; at = start_ + step_ * ((at - start_) / step_ + 1))
        if (left.fits(at, at + length)) return at;
    return std::nullopt;
}

}  // namespace hyper::scheduler
