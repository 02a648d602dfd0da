// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/outlooks.h"

#include <cmath>

#include "blockengine/base/csv.h"
#include "carbon/outlook.h"
#include "carbon/table_signal.h"
#include "carbon/zones.h"

namespace hyper::hyperd {

namespace {

// As far as any policy looks ahead in practice; beyond it nothing is lighter for sure.
constexpr Seconds horizon = std::chrono::hours(7 * 24);

carbon::StepSeries past_of(const carbon::StepSeries& series, Instant now) {
    size_t count = 0;
    while (count < series.size() && series.time_of(count) + series.step() <= now) ++count;
    return {series.start(), series.step(), {series.values().begin(), series.values().begin() + static_cast<ptrdiff_t>(count)}};
}

// The table where it knows, the profile where it does not.
scheduler::ZoneOutlook outlook_of(const carbon::StepSeries& table, const std::string& issue, Instant now) {
    carbon::Outlook profile = carbon::OutlookMaker().make(now, now + horizon, past_of(table, now));
    std::vector<double> values = profile.series.values();
    size_t known = 0;
    for (size_t i = 0; i < values.size(); ++i)
        if (auto value = table.at(profile.series.time_of(i))) {
            values[i] = *value;
            ++known;
        }
    scheduler::ZoneOutlook outlook;
    outlook.grams_per_kwh = carbon::StepSeries(profile.series.start(), profile.series.step(), std::move(values));
    outlook.issue = issue;
    if (known < profile.series.size())
        outlook.notes.push_back(fmt::format("the table knows {} of the next {} hours; the rest is what is usual at that hour of the week", known, profile.series.size()));
    return outlook;
}

}  // namespace

std::string Outlooks::zone_id(const std::string& name) {
    auto zone = carbon::find_zone(name);
    return zone ? zone->id : "";
}

Result<void> Outlooks::load(const scheduler::Config& config) {
    std::map<std::string, carbon::StepSeries> table;
    if (!config.carbon_table.empty()) table = TRY(carbon::read_signal_table(TRY(CsvTable::read(config.carbon_table))));
    table_ = std::move(table);
    table_issue_ = "table " + config.carbon_table;
    return {};
}

const carbon::StepSeries* Outlooks::measured(const std::string& zone) const {
    auto found = table_.find(zone);
    return found == table_.end() ? nullptr : &found->second;
}

void Outlooks::refresh(const scheduler::Config& config, Instant now) {
    average_.clear();
    for (const auto& [name, job] : config.jobs) {
        for (const std::string& named : {job.rules.carbon.source_zone, job.rules.carbon.target_zone}) {
            std::string zone = named.empty() ? "" : zone_id(named);
            auto table = table_.find(zone);
            if (table != table_.end() && !average_.contains(zone)) average_.emplace(zone, outlook_of(table->second, table_issue_, now));
        }
    }
}

}  // namespace hyper::hyperd
