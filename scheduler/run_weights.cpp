// SPDX-License-Identifier: Apache-2.0
#include "scheduler/run_weights.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hyper::scheduler {
namespace {

const ZoneOutlook* find_outlook(const World& world, const Job& job, const std::string& grid) {
    const auto& outlooks = job.rules.carbon.signal == carbon::SignalKind::average ? world.average : world.marginal;
    auto found = outlooks.find(grid);
    return found == outlooks.end() ? nullptr : &found->second;
}

// Over all of the pieces.
std::optional<double> mean_of(const carbon::StepSeries& series, const std::vector<TimeRange>& pieces) {
    double sum = 0, seconds = 0;
    for (const TimeRange& piece : pieces) {
        if (piece.until <= piece.from) continue;
        auto mean = series.mean(piece.from, piece.until);
        if (!mean) return std::nullopt;
        double part = double((piece.until - piece.from).count());
        sum += *mean * part, seconds += part;
    }
    if (seconds == 0) return std::nullopt;
    return sum / seconds;
}

}  // namespace

Result<carbon::SyncEnergy> energy_of_run(const Job& job, uint64_t bytes, double seconds) {
    const CarbonRule& rule = job.rules.carbon;
    double hours = seconds / 3600, terabytes = double(bytes) / 1e12;
    carbon::SyncEnd source, target;
    source.place = rule.source_place, target.place = rule.target_place;
    // A vCPU at either end; on-premises that is a share of a server, of which this takes a sixteenth.
    source.cpu_hours = hours * (source.place == "onprem" ? 1.0 / 16 : 1);
    target.cpu_hours = hours * (target.place == "onprem" ? 1.0 / 16 : 1);
    source.disk_tb_hours = target.disk_tb_hours = terabytes * hours;
    return carbon::energy_of_sync(source, target, bytes);
}

RunWeights::RunWeights(const Job& job, const World& world, uint64_t bytes, Seconds length)
    : job_(job), now_(world.now), length_(length), source_grid_(job.rules.carbon.source_grid), target_grid_(job.rules.carbon.target_grid) {
    // No place that the configuration lets through is unknown there.
    auto energy = energy_of_run(job, bytes, double(length.count())).value_or(carbon::SyncEnergy{});
    source_.energy = energy.source + energy.network * 0.5;
    target_.energy = energy.target + energy.network * 0.5;
    source_.outlook = find_outlook(world, job, source_grid_);
    target_.outlook = find_outlook(world, job, target_grid_);
    for (End* end : {&source_, &target_})
        if (end->outlook && !end->outlook->price_per_kwh.empty() && end->outlook->price_currency == job.rules.cost.currency) end->price = &end->outlook->price_per_kwh;
}

std::vector<RunWeights::End> RunWeights::known_ends() const {
    std::vector<End> ends;
    for (const End& end : {source_, target_})
        if (end.outlook) ends.push_back(end);
    return ends;
}

Weights RunWeights::weigh(Instant horizon) const {
    const double per_kilogram = job_.rules.carbon.weight, per_unit = job_.rules.cost.weight;
    auto ends = known_ends();
    Seconds step{3600};
    Instant until = Instant::max();
    bool counts = false;
    for (const End& end : ends) {
        if (per_kilogram > 0 && !end.outlook->grams_per_kwh.empty()) {
            step = std::min(step, end.outlook->grams_per_kwh.step());
            until = std::min(until, end.outlook->grams_per_kwh.end());
            counts = true;
        }
        if (per_unit > 0 && end.price) {
            step = std::min(step, end.price->step());
            until = std::min(until, end.price->end());
            counts = true;
        }
    }
    // What one of the two says nothing of is a gap only if both are asked for and have something.
    Instant from{now_.time_since_epoch() / step * step};
    if (!counts) return {};
    double hours = double(length_.count()) / 3600;
    std::vector<double> values;
    // The last step is whole, since a run may end in it.
    for (Instant at = from; at < horizon && at + step <= until; at += step) {
        double value = 0;
        for (const End& end : ends) {
            double kilowatts = end.energy.middle / hours;
            if (per_kilogram > 0 && !end.outlook->grams_per_kwh.empty())
                value += per_kilogram * kilowatts / 1000 * end.outlook->grams_per_kwh.at(at).value_or(std::numeric_limits<double>::quiet_NaN());
            if (per_unit > 0 && end.price)
                value += per_unit * kilowatts * end.price->at(at).value_or(std::numeric_limits<double>::quiet_NaN());
        }
        values.push_back(value);
    }
    return Weights(carbon::StepSeries(from, step, std::move(values)));
}

std::optional<carbon::Estimate> RunWeights::grams(const std::vector<TimeRange>& pieces) const {
    carbon::Estimate sum;
    bool any = false;
    for (const End& end : known_ends()) {
        if (end.outlook->grams_per_kwh.empty()) continue;
        any = true;
        auto mean = mean_of(end.outlook->grams_per_kwh, pieces);
        if (!mean) return std::nullopt;
        sum = sum + end.energy * *mean;
    }
    return any ? std::optional(sum) : std::nullopt;
}

std::optional<Money> RunWeights::power_money(const std::vector<TimeRange>& pieces) const {
    double sum = 0;
    bool any = false;
    for (const End& end : known_ends()) {
        if (!end.price) continue;
        auto mean = mean_of(*end.price, pieces);
        if (!mean) return std::nullopt;
        sum += *mean * end.energy.middle;
        any = true;
    }
    if (!any || std::abs(sum) > 9e9) return std::nullopt;
    return Money{std::llround(sum * 1e9)};
}

std::string RunWeights::issues() const {
    std::string text;
    const ZoneOutlook* last = nullptr;
    for (const End& end : known_ends()) {
        if (end.outlook == last || end.outlook->issue.empty()) continue;
        text += (text.empty() ? "" : ", ") + end.outlook->issue;
        last = end.outlook;
    }
    return text;
}

std::vector<std::string> RunWeights::notes() const {
    std::vector<std::string> said;
    auto add = [&](const std::string& note) {
        if (std::find(said.begin(), said.end(), note) == said.end()) said.push_back(note);
    };
    for (const End& end : known_ends())
        for (const std::string& note : end.outlook->notes) add(note);
    for (const auto& [grid, end] : {std::pair(&source_grid_, &source_), std::pair(&target_grid_, &target_)}) {
        if (grid->empty()) continue;
        if (!end->outlook)
            add("nothing is known of zone " + *grid);
        else if (end->outlook->grams_per_kwh.empty())
            add("no intensity is known of zone " + *grid);
        if (end->outlook && !end->outlook->price_per_kwh.empty() && !end->price)
            add(fmt::format("power in zone {} has a price in {}, which does not count for money in {}", *grid, end->outlook->price_currency, job_.rules.cost.currency));
    }
    return said;
}

}  // namespace hyper::scheduler
