// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/outlooks.h"

#include <algorithm>
#include <cerrno>

#include "blockengine/base/csv.h"
#include "blockengine/base/log.h"
#include "carbon/feeds/feed_settings.h"
#include "carbon/feeds/token_file.h"
#include "carbon/table_signal.h"
#include "scheduler/zone_outlook.h"

namespace hyper::hyperd {

using carbon::SignalKind;
using scheduler::Config;

namespace {

carbon::FeedSettings settings_of(const Config& config, const std::string& name) {
    const scheduler::Feed& feed = config.feeds.at(name);
    carbon::FeedSettings settings;
    settings.name = name, settings.service = feed.kind, settings.base_url = feed.base_url, settings.token_file = feed.token_file;
    settings.calls_per_minute = feed.calls_per_minute, settings.calls_per_month = feed.calls_per_month;
    if (!feed.kind.starts_with("watttime")) return settings;
    for (const auto& [zone, more] : config.zones)
        if (!more.region.empty()) settings.regions.emplace(zone, more.region);
    return settings;
}

Result<Sources> make_sources(const Config& config, const std::string& file, const std::string& folder, const carbon::AskHttp& ask) {
    Sources sources;
    for (const auto& [name, feed] : config.feeds) {
        carbon::FeedSettings settings = settings_of(config, name);
        if (feed.kind.starts_with("watttime") && settings.regions.empty())
            return fail(EINVAL, "{}: feeds.{}: {} wants its region of each zone ([zones.US-CAL-CISO] region = \"CAISO_NORTH\")", file, name,
                        feed.kind);
        auto made = carbon::make_feed(settings, folder, ask);
        if (!made) return fail(made.error().code, "{}: feeds.{}.{}", file, name, made.error().message);
        if (made->average) sources.average.push_back(std::move(made->average));
        if (made->marginal) sources.marginal.push_back(std::move(made->marginal));
    }
    if (config.carbon_table.empty()) return sources;
    CsvTable csv = TRY(CsvTable::read(config.carbon_table));
    sources.table = TRY(carbon::read_signal_table(csv));
    return sources;
}

// The best first.
std::vector<std::string> feeds_of(const Config& config, const std::string& zone) {
    std::vector<std::string> names;
    if (auto more = config.zones.find(zone); more != config.zones.end()) names = more->second.feeds;
    if (names.empty())
        for (const auto& entry : config.feeds) names.push_back(entry.first);
    std::erase_if(names, [&](const std::string& name) {
        const auto& zones = config.feeds.at(name).zones;
        return !zones.empty() && std::ranges::find(zones, zone) == zones.end();
    });
    return names;
}

// The zones that jobs name with that signal.
template <SignalKind kind, class Use>
void for_zones(const Config& config, Use use) {
    for (const auto& entry : config.jobs) {
        const scheduler::CarbonRule& rule = entry.second.rules.carbon;
        if (rule.signal != kind) continue;
        for (const std::string& zone : {rule.source_grid, rule.target_grid})
            if (!zone.empty()) use(zone);
    }
}

template <SignalKind kind>
void add_zone(carbon::Signals<kind>& signals, const Config& config, const std::string& zone, const carbon::IntensitySeries<kind>& table) {
    if (signals.has_zone(zone)) return;
    auto added = signals.add_zone(zone, table, feeds_of(config, zone));
    if (!added) log_error("{}; nothing is known of zone {}", added.error().message, zone);
}

template <SignalKind kind>
std::optional<carbon::StepSeries> measured_by(const carbon::Signals<kind>& signals, const std::string& zone, Instant from, Instant until) {
    auto series = signals.measured(zone, from, until);
    if (!series || series->empty()) return std::nullopt;
    return std::move(*series);
}

}  // namespace

Result<void> check_sources(const Config& config, const std::string& file) {
    TRY(make_sources(config, file, "", {}));
    for (const auto& [name, feed] : config.feeds) {
        if (feed.token_file.empty()) continue;
        if (auto token = carbon::read_token_file(feed.token_file); !token)
            return fail(token.error().code, "{}: feeds.{}.token_file: {}", file, name, token.error().message);
    }
    return {};
}

Result<std::unique_ptr<Outlooks>> Outlooks::open(const std::string& folder, uint64_t seed, carbon::AskHttp ask) {
    std::unique_ptr<Outlooks> made(new Outlooks(TRY(carbon::FeedStore::open(folder)), seed));
    made->ask_ = std::move(ask);
    if (!made->ask_) {
        made->http_ = TRY(Http::start());
        made->ask_ = carbon::ask_by(*made->http_, made->stop_);
    }
    made->use({}, {});
    return made;
}

Outlooks::~Outlooks() { stop_polling(); }

Result<Sources> Outlooks::make(const Config& config, const std::string& file) const { return make_sources(config, file, store_->folder(), ask_); }

void Outlooks::use(Sources sources, const Config& config) {
    // Their files are closed before they are opened again.
    average_signals_.reset();
    marginal_signals_.reset();
    table_ = std::move(sources.table);
    average_signals_ = std::make_unique<carbon::AverageSignals>(std::move(sources.average), store_.get(), seed_);
    marginal_signals_ = std::make_unique<carbon::MarginalSignals>(std::move(sources.marginal), store_.get(), seed_);
    add_zones(config);
}

void Outlooks::add_zones(const Config& config) {
    for_zones<SignalKind::average>(config, [&](const std::string& zone) {
        auto table = table_.find(zone);
        add_zone(*average_signals_, config, zone, carbon::AverageSeries(table == table_.end() ? carbon::StepSeries() : table->second));
    });
    for_zones<SignalKind::marginal>(config, [&](const std::string& zone) { add_zone(*marginal_signals_, config, zone, {}); });
    std::lock_guard lock(threads_mutex_);
    if (threads_) threads_->wake();
}

void Outlooks::start_polling(Clock clock, std::function<void()> news) {
    stop_.forget();
    auto threads = std::make_unique<carbon::PollThreads>(std::move(clock), stop_, std::move(news));
    threads->add(*average_signals_);
    threads->add(*marginal_signals_);
    std::lock_guard lock(threads_mutex_);
    threads_ = std::move(threads);
}

void Outlooks::stop_polling() {
    std::unique_ptr<carbon::PollThreads> ended;  // waits for its threads without the lock
    std::lock_guard lock(threads_mutex_);
    ended = std::move(threads_);
}

void Outlooks::refresh(const Config& config, Instant now) {
    average_.clear();
    marginal_.clear();
    for_zones<SignalKind::average>(config, [&](const std::string& zone) {
        if (!average_.contains(zone)) average_.emplace(zone, scheduler::zone_outlook(*average_signals_, zone, now));
    });
    for_zones<SignalKind::marginal>(config, [&](const std::string& zone) {
        if (!marginal_.contains(zone)) marginal_.emplace(zone, scheduler::zone_outlook(*marginal_signals_, zone, now));
    });
}

std::optional<carbon::StepSeries> Outlooks::measured(const std::string& zone, SignalKind kind, Instant from, Instant until) const {
    return kind == SignalKind::average ? measured_by(*average_signals_, zone, from, until) : measured_by(*marginal_signals_, zone, from, until);
}

Result<carbon::CarbonStatus> Outlooks::status(const std::string& zone, SignalKind kind, Instant now) const {
    return kind == SignalKind::average ? average_signals_->status(zone, now) : marginal_signals_->status(zone, now);
}

}  // namespace hyper::hyperd
