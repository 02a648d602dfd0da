// SPDX-License-Identifier: Apache-2.0
// The evaluation's traces, read as their README describes them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "blockengine/base/csv.h"
#include "carbon/intensity.h"

namespace hyper::figures {

using carbon::StepSeries;

// One column of a table whose rows are instants at equal steps; a missing row is a gap. Rows off the grid that the first row
// and `step` make are left out.
Result<StepSeries> read_series(const CsvTable& table, const std::string& time_column, const std::string& column, Seconds step);

// em2022_lca_hourly_123zones.csv, by zone.
Result<std::map<std::string, StepSeries>> read_zones(const std::string& data);

struct Issue {
    Instant issued_at;
    StepSeries series;
};
// A region of CarbonCast: life-cycle intensity, with the forecasts that were issued.
struct Region {
    std::string name;
    StepSeries measured;
    std::vector<Issue> issues;
};
Result<std::vector<Region>> read_regions(const std::string& data);

}  // namespace hyper::figures
