// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/settle.h"

#include <algorithm>

namespace hyper::hyperd {

namespace {

using carbon::Estimate;

// The two ends' zones; an end whose zone is not named is not counted.
struct Ends {
    std::optional<carbon::StepSeries> source, target;
    bool missing = false;  // a zone is named of which nothing is known
    bool known() const { return !missing && (source || target); }
};

// As what tells most of [from, until) has measured it.
Ends ends_of(const scheduler::CarbonRule& rule, const Outlooks& measured, Instant from, Instant until) {
    Ends ends;
    auto find = [&](const std::string& grid, std::optional<carbon::StepSeries>& series) {
        if (grid.empty()) return;
        series = measured.measured(grid, rule.signal, from, until);
        ends.missing = ends.missing || !series;
    };
    find(rule.source_grid, ends.source);
    find(rule.target_grid, ends.target);
    return ends;
}

// Of a run with that energy over [from, until).
std::optional<Estimate> grams(const carbon::SyncEnergy& energy, const Ends& ends, Instant from, Instant until) {
    Estimate sum;
    double network = 0;
    int known = 0;
    for (auto [series, share] : {std::pair(&ends.source, energy.source), std::pair(&ends.target, energy.target)}) {
        if (!*series) continue;
        auto mean = (*series)->mean(from, until);
        if (!mean) return std::nullopt;
        sum = sum + share * *mean;
        network += *mean;
        ++known;
    }
    if (known == 0) return std::nullopt;
    return sum + energy.network * (network / known);
}

// The shares of a run in several stretches, by their length.
std::optional<Estimate> grams_of_stretches(const scheduler::RunRow& row, const Ends& ends) {
    double all = 0;
    for (const auto& stretch : row.stretches) all += static_cast<double>((stretch.until - stretch.from).count());
    Estimate sum;
    for (const auto& stretch : row.stretches) {
        // A sync of less than a second still had its energy.
        Instant until = std::max(stretch.until, stretch.from + Seconds(1));
        auto part = grams(row.energy, ends, stretch.from, until);
        if (!part) return std::nullopt;
        double share = all > 0 ? static_cast<double>((stretch.until - stretch.from).count()) / all : 1.0 / static_cast<double>(row.stretches.size());
        sum = sum + *part * share;
    }
    return sum;
}

std::optional<Estimate> grams_with_foresight(const scheduler::RunRow& row, const Ends& ends, Seconds length) {
    const carbon::StepSeries& steps = ends.source ? *ends.source : *ends.target;
    std::optional<Estimate> best;
    auto look_at = [&](Instant start) {
        if (start < row.due || start + length > *row.deadline) return;
        auto found = grams(row.energy, ends, start, start + length);
        if (found && (!best || found->middle < best->middle)) best = found;
    };
    look_at(row.due);
    // Between two moments at which its start or end meets a step's boundary the weight is linear.
    for (size_t i = 0; i < steps.size(); ++i) {
        look_at(steps.time_of(i));
        look_at(steps.time_of(i) - length);
    }
    return best;
}

}  // namespace

bool settle(scheduler::RunRow& row, const scheduler::CarbonRule& rule, const Outlooks& measured, Instant now) {
    if (row.stretches.empty()) return false;
    bool changed = false;
    auto fill = [&](std::optional<Estimate>& field, std::optional<Estimate> value) {
        changed = changed || (!field && value);
        if (!field) field = value;
    };
    Seconds length{};
    for (const auto& stretch : row.stretches) length += stretch.until - stretch.from;
    length = std::max(length, Seconds(1));
    const Instant from = std::min(row.due, row.stretches.front().from), until = std::max(row.due + length, row.stretches.back().until);
    auto at_once = [&](const Ends& ends) { return grams(row.energy, ends, row.due, row.due + length); };
    if (Ends ends = ends_of(rule, measured, from, until); ends.known()) {
        if (row.stretches.back().until <= now) fill(row.grams, grams_of_stretches(row, ends));
        if (row.due + length <= now + Seconds(1)) fill(row.grams_at_once, at_once(ends));
    }
    if (!row.deadline || *row.deadline > now || row.grams_foresight) return changed;
    Ends ends = ends_of(rule, measured, from, std::max(until, *row.deadline));
    if (!ends.known()) return changed;
    fill(row.grams_foresight, grams_with_foresight(row, ends, length));
    // The three are compared, so they are by the same measurements, as far as these tell.
    if (row.grams_foresight) {
        if (auto same = grams_of_stretches(row, ends)) row.grams = same;
        if (auto same = at_once(ends)) row.grams_at_once = same;
    }
    return changed;
}

}  // namespace hyper::hyperd
