// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/outlooks.h"

#include "blockengine/base/csv.h"
#include "carbon/table_signal.h"
#include "scheduler/table_outlook.h"

namespace hyper::hyperd {

Result<void> Outlooks::load(const scheduler::Config& config) {
    std::map<std::string, carbon::StepSeries> table;
    if (!config.carbon_table.empty()) {
        CsvTable csv = TRY(CsvTable::read(config.carbon_table));
        table = TRY(carbon::read_signal_table(csv));
    }
    table_ = std::move(table);
    table_name_ = "table " + config.carbon_table;
    return {};
}

// The table's are average intensities, and no other kind is measured here.
const carbon::StepSeries* Outlooks::measured(const std::string& zone, carbon::SignalKind kind) const {
    if (kind != carbon::SignalKind::average) return nullptr;
    auto found = table_.find(zone);
    return found == table_.end() ? nullptr : &found->second;
}

void Outlooks::refresh(const scheduler::Config& config, Instant now) {
    average_.clear();
    for (const auto& [name, job] : config.jobs)
        for (const std::string& zone : {job.rules.carbon.source_grid, job.rules.carbon.target_grid}) {
            auto table = table_.find(zone);
            if (table != table_.end() && !average_.contains(zone)) average_.emplace(zone, scheduler::table_outlook(table->second, zone, table_name_, now));
        }
}

}  // namespace hyper::hyperd
