// SPDX-License-Identifier: Apache-2.0
#include "scheduler/table_outlook.h"

#include <limits>

#include "carbon/profile.h"

namespace hyper::scheduler {
namespace {

constexpr Seconds reach = std::chrono::hours(96);

}  // namespace

ZoneOutlook table_outlook(const carbon::StepSeries& table, const std::string& zone, const std::string& name, Instant now) {
    ZoneOutlook outlook;
    outlook.issue = fmt::format("{} {}", zone, name);
    if (table.empty()) return outlook;
    Seconds step = table.step();
    Instant from{now.time_since_epoch() / step * step};
    // On the table's own steps.
    if (auto off = (table.start() - from) % step; off != Seconds(0)) from += off.count() > 0 ? off - step : off;
    auto usual = carbon::HourProfile::learn(table, now).predict(now, now + reach);
    std::vector<double> values;
    size_t told = 0, known = 0;
    for (Instant at = from; at < now + reach; at += step) {
        auto value = table.at(at);
        told += value.has_value();
        if (!value) value = usual.at(at);
        known += value.has_value();
        values.push_back(value.value_or(std::numeric_limits<double>::quiet_NaN()));
    }
    if (told < values.size())
        outlook.notes.push_back(fmt::format("zone {}: {} tells {} of the next {} steps; {} are what is usual at that hour of the week", zone, name, told, values.size(), known - told));
    outlook.grams_per_kwh = carbon::StepSeries(from, step, std::move(values));
    return outlook;
}

}  // namespace hyper::scheduler
