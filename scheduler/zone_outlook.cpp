// SPDX-License-Identifier: Apache-2.0
#include "scheduler/zone_outlook.h"

namespace hyper::scheduler {
namespace {

constexpr Seconds reach = std::chrono::hours(96);

}  // namespace

template <carbon::SignalKind kind>
ZoneOutlook zone_outlook(const carbon::Signals<kind>& signals, const std::string& zone, Instant now) {
    const std::string name = kind == carbon::SignalKind::marginal ? zone + " (marginal)" : zone;
    ZoneOutlook outlook;
    auto known = signals.outlook(zone, now, now + reach);
    if (!known) {
        outlook.notes.push_back(known.error().message);
        return outlook;
    }
    if (!known->issues.empty()) outlook.issue = name + " " + known->issues;
    for (const std::string& words : known->words) outlook.notes.push_back("zone " + name + ": " + words);
    // Else it is empty, so that it does not hide what is known of the job's other end.
    if (!known->issues.empty()) outlook.grams_per_kwh = std::move(known->series);
    return outlook;
}

template ZoneOutlook zone_outlook(const carbon::AverageSignals& signals, const std::string& zone, Instant now);
template ZoneOutlook zone_outlook(const carbon::MarginalSignals& signals, const std::string& zone, Instant now);

}  // namespace hyper::scheduler
