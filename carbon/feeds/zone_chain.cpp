// SPDX-License-Identifier: Apache-2.0
#include "carbon/feeds/zone_chain.h"

#include <cmath>
#include <limits>

#include "carbon/profile.h"
#include "carbon/status.h"

namespace hyper::carbon {
namespace {

using namespace std::chrono;

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

bool is_of_issues(OutlookSource source) { return source == OutlookSource::forecast || source == OutlookSource::older_forecast; }

// The table's value, or what is usual in it at that hour of the week.
std::optional<double> table_value(const StepSeries& table, const StepSeries& usual, Instant from, Instant until) {
    if (auto value = table.mean(from, until)) return value;
    return usual.mean(from, until);
}

// A feed's outlook, with the source of each moment.
struct Known {
    Outlook outlook;
    double shift = 0;

    OutlookSource source_at(Instant instant) const {
        const StepSeries& series = outlook.series;
        if (instant < series.start() || instant >= series.end()) return OutlookSource::unknown;
        return outlook.sources[static_cast<size_t>((instant - series.start()) / series.step())];
    }
};

// How much of [from, until) is known.
Seconds known_of(const StepSeries& series, Instant from, Instant until) {
    Seconds sum{};
    for (size_t i = 0; i < series.size(); i++) {
        Instant first = std::max(from, series.time_of(i)), end = std::min(until, series.time_of(i) + series.step());
        if (first < end && !std::isnan(series.values()[i])) sum += end - first;
    }
    return sum;
}

// The steps that are of one thing.
struct Use {
    Instant first{}, end{};
    size_t steps = 0;
};

std::string use_text(const Use& use, Seconds step, Instant now) {
    Seconds length = step * use.steps;
    if (length == use.end - use.first) return clock_text(use.first, now) + " to " + clock_text(use.end, now);
    return fmt::format("{:.1f} h between {} and {}", double(length.count()) / 3600, clock_text(use.first, now), clock_text(use.end, now));
}

// By how much `base` lies over `other` where both are of issues; 0 where they do not meet.
double difference(const Known& base, const Known& other) {
    double sum = 0;
    size_t count = 0;
    const StepSeries& series = base.outlook.series;
    for (size_t i = 0; i < series.size(); i++) {
        Instant from = series.time_of(i), until = from + series.step();
        if (!is_of_issues(base.outlook.sources[i]) || !is_of_issues(other.source_at(from))) continue;
        auto value = other.outlook.series.mean(from, until);
        if (!value || std::isnan(series.values()[i])) continue;
        sum += series.values()[i] - *value, count++;
    }
    return count > 0 ? sum / double(count) : 0;
}

}  // namespace

const char* quality_text(Quality quality) {
    switch (quality) {
        case Quality::forecast:
            return "forecast";
        case Quality::second_forecast:
            return "second feed's forecast";
        case Quality::stored_forecast:
            return "older forecast";
        case Quality::profile:
            return "hour-of-week profile";
        case Quality::table:
            return "table";
        case Quality::unknown:
            return "unknown";
    }
    return "";
}

std::string clock_text(Instant instant, Instant now) {
    std::string text = instant_text(instant);
    bool today = floor<days>(instant) == floor<days>(now);
    return (today ? "" : text.substr(0, 10) + " ") + text.substr(11, 5) + " UTC";
}

ZoneChain::ZoneChain(std::string zone, SignalKind kind, std::vector<FeedAbout> feeds, StepSeries table)
    : zone_(std::move(zone)), kind_(kind), table_(std::move(table)) {
    for (FeedAbout& about : feeds) {
        feeds_.emplace_back();
        feeds_.back().about = std::move(about);
    }
}

void ZoneChain::set_failure(size_t feed, std::optional<FeedFailure> failure, Instant next_try) {
    feeds_[feed].failure = std::move(failure);
    feeds_[feed].next_try = next_try;
}

const StepSeries& ZoneChain::measured(Instant from, Instant until) const {
    const StepSeries* best = nullptr;
    for (const FeedState& feed : feeds_) {
        const StepSeries& one = feed.memory.measured();
        if (one.empty()) continue;
        if (best == nullptr || known_of(one, from, until) > known_of(*best, from, until)) best = &one;
    }
    return best == nullptr ? table_ : *best;
}

std::vector<ZoneChain::Candidate> ZoneChain::candidates() const {
    std::vector<Candidate> all;
    for (OutlookSource source : {OutlookSource::forecast, OutlookSource::older_forecast, OutlookSource::profile})
        for (size_t feed = 0; feed < feeds_.size(); feed++) {
            Quality quality = source == OutlookSource::profile          ? Quality::profile
                              : source == OutlookSource::older_forecast ? Quality::stored_forecast
                              : feed == 0                               ? Quality::forecast
                                                                        : Quality::second_forecast;
            all.push_back({quality, feed, source});
        }
    all.push_back({Quality::table, 0, OutlookSource::unknown});
    all.push_back({Quality::unknown, 0, OutlookSource::unknown});
    return all;
}

ZoneOutlook ZoneChain::outlook(Instant now, Instant until) const {
    std::vector<Known> known(feeds_.size());
    Seconds step = table_.empty() ? hours(1) : table_.step();
    std::optional<size_t> base;
    for (size_t i = 0; i < feeds_.size(); i++) {
        const FeedState& feed = feeds_[i];
        if (!feed.memory.empty()) known[i].outlook = feed.memory.outlook(now, until + hours(1), fresh_for(feed.about));
        if (known[i].outlook.sources.empty() || !is_of_issues(known[i].outlook.sources[0])) continue;
        // The base is the feed that the first step is of.
        bool better = !base || known[i].outlook.sources[0] < known[*base].outlook.sources[0];
        if (better) base = i, step = known[i].outlook.series.step();
    }
    for (size_t i = 0; i < feeds_.size() && base; i++)
        if (i != *base) known[i].shift = difference(known[*base], known[i]);

    Instant start(now.time_since_epoch() / step * step);
    // On the table's own steps.
    if (!base && !table_.empty()) start = now - ((now - table_.start()) % step + step) % step;
    StepSeries usual = table_.empty() ? StepSeries() : HourProfile::learn(table_, now).predict(start, until + step);
    auto count = start < until ? static_cast<size_t>((until - start + step - Seconds(1)) / step) : 0;
    std::vector<double> values(count, unknown);
    ZoneOutlook result;
    result.qualities.resize(count, Quality::unknown);
    result.words = failures(now);
    const std::vector<Candidate> all = candidates();
    std::vector<Use> uses(all.size());
    std::vector<size_t> order;  // in which they are used first
    for (size_t i = 0; i < count; i++) {
        Instant from = start + step * i, to = from + step;
        size_t chosen = 0;
        for (; chosen + 1 < all.size(); chosen++) {
            const Candidate& one = all[chosen];
            if (one.quality == Quality::table) {
                if (auto value = table_value(table_, usual, from, to)) values[i] = *value;
            } else if (known[one.feed].source_at(std::max(from, now)) == one.source) {
                const Known& of = known[one.feed];
                if (auto value = of.outlook.series.mean_of_known(std::max(from, now), to, 0.5)) values[i] = *value + of.shift;
            }
            if (!std::isnan(values[i])) break;
        }
        result.qualities[i] = all[chosen].quality;
        Use& use = uses[chosen];
        if (use.steps++ == 0) use.first = from, order.push_back(chosen);
        use.end = to;
    }
    for (size_t used : order) {
        result.words.push_back(use_text(uses[used], step, now) + ": " + words_of(all[used], now));
        if (all[used].quality != Quality::unknown) result.issues += (result.issues.empty() ? "" : " + ") + issue_of(all[used], now);
    }
    result.series = StepSeries(start, step, std::move(values));
    return result;
}

// What is still used of the feeds that fail: "electricitymaps: 429 (too many requests), next try 12:05 UTC; using its forecast of 09:00 UTC".
std::vector<std::string> ZoneChain::failures(Instant now) const {
    std::vector<std::string> words;
    if (feeds_.empty() && table_.empty())
        words.push_back(fmt::format("no feed of its {} intensity is configured{}", signal_name(kind_),
                                    kind_ == SignalKind::marginal ? ", and the average one is not taken instead" : ""));
    for (const FeedState& feed : feeds_) {
        auto issue = feed.memory.newest_issue();
        bool reaches = issue && feed.memory.newest_end() > now;
        std::string used = reaches                           ? fmt::format("using its forecast of {}", clock_text(*issue, now))
                           : !feed.memory.measured().empty() ? "using what it has measured"
                                                             : "nothing of it is known";
        if (feed.failure)
            words.push_back(fmt::format("{}: {}, next try {}; {}", feed.about.name, feed.failure->message, clock_text(feed.next_try, now), used));
        else if (issue && now - *issue >= fresh_for(feed.about))
            words.push_back(fmt::format("{}: answers, but its newest forecast is of {}", feed.about.name, clock_text(*issue, now)));
    }
    return words;
}

std::string ZoneChain::words_of(const Candidate& candidate, Instant now) const {
    if (candidate.quality == Quality::table) return "the table";
    if (candidate.quality == Quality::unknown) return "nothing is known";
    const FeedState& feed = feeds_[candidate.feed];
    if (candidate.quality == Quality::profile) return fmt::format("what {} usually measures at that hour of the week", feed.about.name);
    auto issue = feed.memory.newest_issue();
    if (candidate.source == OutlookSource::older_forecast && issue && now - *issue < fresh_for(feed.about))
        return fmt::format("an older forecast of {}, which reaches farther than its newest", feed.about.name);
    return fmt::format("{}'s forecast of {}, {}", feed.about.name, clock_text(*issue, now), feed.about.factor);
}

std::string ZoneChain::issue_of(const Candidate& candidate, Instant now) const {
    if (candidate.quality == Quality::table) return "table";
    const FeedState& feed = feeds_[candidate.feed];
    if (candidate.quality == Quality::profile) return feed.about.name + " hour-of-week profile";
    Instant issue = *feed.memory.newest_issue();
    bool before = candidate.source == OutlookSource::older_forecast && now - issue < fresh_for(feed.about);
    return feed.about.name + " " + (before ? "older forecast" : instant_text(issue));
}

CarbonStatus ZoneChain::status(Instant now) const {
    CarbonStatus status;
    status.zone = zone_, status.signal = kind_, status.status = "unknown", status.words = failures(now);
    for (const FeedState& feed : feeds_) {
        auto value = feed.memory.measured().at(now);
        if (!value) continue;
        status.grams_per_kwh = value;
        status.source = feed.about.name;
        status.quality = feed.memory.is_estimated(now) ? "estimated" : "measured";
        status.rank = rank_in_last_month(*value, feed.memory.measured(), now);
        break;
    }
    if (!status.grams_per_kwh) {
        std::vector<Known> known(feeds_.size());
        for (size_t i = 0; i < feeds_.size(); i++)
            if (!feeds_[i].memory.empty()) known[i].outlook = feeds_[i].memory.outlook(now, now + Seconds(1), fresh_for(feeds_[i].about));
        for (const Candidate& one : candidates()) {
            if (one.quality == Quality::unknown) break;
            if (one.quality == Quality::table) {
                StepSeries usual = table_.empty() ? StepSeries() : HourProfile::learn(table_, now).predict(now, now + hours(1));
                status.grams_per_kwh = table_value(table_, usual, now, now + Seconds(1));
                if (status.grams_per_kwh) status.source = "table", status.rank = rank_in_last_month(*status.grams_per_kwh, table_, now);
            } else if (known[one.feed].source_at(now) == one.source) {
                const FeedState& feed = feeds_[one.feed];
                status.grams_per_kwh = known[one.feed].outlook.series.at(now);
                status.source = feed.about.name;
                if (is_of_issues(one.source)) status.issued_at = feed.memory.newest_issue();
                if (status.grams_per_kwh) status.rank = rank_in_last_month(*status.grams_per_kwh, feed.memory.measured(), now);
            }
            status.quality = quality_text(one.quality);
            if (status.grams_per_kwh) break;
        }
    }
    if (status.grams_per_kwh) status.status = status_name(*status.grams_per_kwh);
    else status.quality = quality_text(Quality::unknown);
    return status;
}

}  // namespace hyper::carbon
