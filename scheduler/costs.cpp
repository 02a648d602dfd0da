// SPDX-License-Identifier: Apache-2.0
#include "scheduler/costs.h"

#include <algorithm>
#include <cerrno>
#include <cmath>

#include "scheduler/cost/estimate.h"
#include "scheduler/cost/shipped.h"

namespace hyper::scheduler {
namespace {

constexpr Seconds power_reach = std::chrono::hours(96), power_step{900};

// A zone that is written as VENDOR:REGION.
std::optional<Place> cloud_of(const std::string& zone) {
    auto place = parse_place(zone);
    return place ? std::optional(*place) : std::nullopt;
}

// Without its bytes.
SyncToPrice sync_of(const Job& job) {
    SyncToPrice sync;
    sync.from = cloud_of(job.rules.cost.from);
    sync.from_disk = !sync.from;
    if (sync.from_disk) sync.from = cloud_of(job.rules.carbon.source_zone);
    sync.to = cloud_of(job.rules.carbon.target_zone);
    sync.to_disk = true;
    return sync;
}

// Those of one text share the tiers of the way's price; empty for a way without one.
std::string way_of(const SyncToPrice& sync) {
    if (!sync.from) return "";
    std::string from = sync.from->vendor + ":" + sync.from->region;
    if (!sync.to || sync.to->vendor != sync.from->vendor) return from + " to the internet";
    return sync.to->region == sync.from->region ? "" : from + " to " + sync.to->region;
}

// What the month's tiers have seen, by way.
std::map<std::string, uint64_t> sent_before(const Config& config, const MonthUse& used) {
    std::map<std::string, uint64_t> sums;
    for (const auto& [name, sent] : used.sent_bytes)
        if (auto job = config.jobs.find(name); job != config.jobs.end()) sums[way_of(sync_of(job->second))] += sent;
    return sums;
}

bool money_counts(const Job& job) {
    return job.rules.cost.weight > 0 || job.rules.cost.budget;
}

bool requests_count(const Job& job, const Config& config) {
    return job.rules.limits.api_calls.per_month > 0 || config.limits.api_calls.per_month > 0;
}

}  // namespace

Result<std::map<std::string, PowerTariff>> read_tariffs(const Config& config) {
    std::map<std::string, PowerTariff> tariffs;
    for (const auto& [zone, entry] : config.zones) {
        if (entry.tariff_file.empty()) continue;
        auto read = CsvTable::read(entry.tariff_file).and_then([](const CsvTable& table) { return read_power_tariffs(table); });
        if (!read) return fail(read.error().code, "[zones.{}] tariff_file {}: {}", zone, entry.tariff_file, read.error().message);
        if (read->size() != 1)
            return fail(EINVAL, "[zones.{}] tariff_file {}: has {} tariffs; a zone has one, so leave only its rows in the file", zone, entry.tariff_file, read->size());
        tariffs.emplace(zone, std::move(read->begin()->second));
    }
    return tariffs;
}

// Up to where its last gap begins: tariffs end, and weights that are not known would hide those that are.
carbon::StepSeries known_start(const carbon::StepSeries& series) {
    std::vector<double> values = series.values();
    while (!values.empty() && std::isnan(values.back())) values.pop_back();
    return carbon::StepSeries(series.start(), series.step(), std::move(values));
}

Result<Costs> Costs::load(const Config& config) {
    Costs costs;
    auto prices = read_prices(config.prices.files);
    if (!prices) return fail(prices.error().code, "[prices] files: {}", prices.error().message);
    costs.prices_ = std::make_shared<const Prices>(std::move(*prices));
    costs.tariffs_ = TRY(read_tariffs(config));
    return costs;
}

Result<Money> Costs::of_sync(const Job& job, const Config& config, uint64_t bytes, const MonthUse& used, Instant when) const {
    return of_sync(job, bytes, sent_before(config, used), when);
}

Result<Money> Costs::of_sync(const Job& job, uint64_t bytes, const std::map<std::string, uint64_t>& sent, Instant when) const {
    SyncToPrice sync = sync_of(job);
    if (!sync.from && !sync.to) return fail(ENOENT, "neither cost.from nor a zone of carbon says in which cloud an end of it is");
    if (sync.from && sync.from_disk && job.source.starts_with("s3://"))
        return fail(ENOENT, "reading objects takes requests; which class they are of is said by cost.from = \"{}/CLASS\"", sync.from->text());
    // More is in no price list.
    constexpr uint64_t bytes_max = uint64_t{1} << 60;
    sync.changed_bytes = sync.sent_bytes = static_cast<int64_t>(std::min(bytes, bytes_max));
    if (auto before = sent.find(way_of(sync)); before != sent.end()) sync.sent_before_bytes = static_cast<int64_t>(std::min(before->second, bytes_max));
    auto estimate = estimate_syncs(*prices_, sync, when);
    if (!estimate) return fail(ENOENT, "{}", estimate.error().message);
    Money sum;
    for (const auto& [currency, total] : estimate->totals) {
        if (currency == job.rules.cost.currency)
            sum = total;
        else if (total.nanos != 0)
            return fail(ENOENT, "its prices are in {} and its money is in {}; cost.currency = \"{}\" would count them", currency, job.rules.cost.currency, currency);
    }
    return sum;
}

ExpectedCosts Costs::expected(const Config& config, const std::map<std::string, JobState>& states,
                              const std::map<std::string, std::vector<SyncMeasure>>& measures, const MonthUse& used, Instant now) const {
    ExpectedCosts expected;
    const auto sent = sent_before(config, used);
    for (const auto& [name, job] : config.jobs) {
        const SyncToPrice sync = sync_of(job);
        auto measured = measures.find(job.source);
        auto state = states.find(name);
        Result<Money> money = fail(ENOENT, "no sync of its disk was measured yet");
        if (measured != measures.end() && !measured->second.empty()) {
            auto last = state == states.end() ? std::nullopt : state->second.last_point;
            Seconds since = last ? std::max(Seconds(1), now - *last) : Seconds(0);
            const SyncSize size = estimate_sync(measured->second, since, 0);
            if (size.measured) money = of_sync(job, size.bytes, sent, now);
        }
        if (money)
            expected.money[name] = *money;
        else if (sync.from || sync.to || money_counts(job))
            expected.unknown[name] = fmt::format("what a sync costs besides power is not known: {}", money.error().message);
        if (requests_count(job, config) && !requests_of_sync(job, 0)) {
            std::string& text = expected.unknown[name];
            text += (text.empty() ? "" : "; ") + std::string("requests are not counted: cost.from does not say how the disk is read");
        }
    }
    return expected;
}

std::optional<Money> Costs::of_power(const Job& job, const carbon::SyncEnergy& energy, Instant from, Instant until) const {
    double sum = 0;
    bool any = false;
    const CarbonRule& rule = job.rules.carbon;
    for (const auto& [grid, kwh] : {std::pair(&rule.source_grid, energy.source.middle), std::pair(&rule.target_grid, energy.target.middle)}) {
        auto tariff = tariffs_.find(*grid);
        if (tariff == tariffs_.end() || tariff->second.currency() != job.rules.cost.currency) continue;
        auto mean = tariff->second.series(from, until, until - from).at(from);
        if (!mean) return std::nullopt;
        sum += *mean * (kwh + energy.network.middle / 2);
        any = true;
    }
    if (!any || std::abs(sum) > 9e9) return std::nullopt;
    return Money{std::llround(sum * 1e9)};
}

void Costs::add_power(std::map<std::string, ZoneOutlook>& zones, Instant now) const {
    const Instant from{now.time_since_epoch() / power_step * power_step};
    for (const auto& [zone, tariff] : tariffs_) {
        ZoneOutlook& outlook = zones[zone];
        outlook.price_per_kwh = known_start(tariff.series(from, from + power_reach, power_step));
        outlook.price_currency = tariff.currency();
        if (outlook.price_per_kwh.empty()) outlook.notes.push_back(fmt::format("zone {}: its tariff says nothing of now, so what power costs is not known", zone));
    }
}

std::optional<uint64_t> requests_of_sync(const Job& job, uint64_t bytes) {
    SyncToPrice sync = sync_of(job);
    if (sync.from_disk) return std::nullopt;
    sync.changed_bytes = static_cast<int64_t>(bytes);
    return static_cast<uint64_t>(read_requests(sync));
}

void say_unknown(std::vector<Decision>& decisions, const ExpectedCosts& expected) {
    for (Decision& decision : decisions)
        if (auto found = expected.unknown.find(decision.job); found != expected.unknown.end()) decision.notes.push_back(found->second);
}

}  // namespace hyper::scheduler
