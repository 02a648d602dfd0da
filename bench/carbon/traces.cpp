// SPDX-License-Identifier: Apache-2.0
#include "bench/carbon/traces.h"

#include <cerrno>
#include <limits>
#include <optional>

namespace hyper::figures {
namespace {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

Result<StepSeries> make_series(const CsvTable& table, size_t time, size_t column, Seconds step) {
    Instant start{};
    std::vector<double> values;
    for (size_t row = 0; row < table.row_count(); row++) {
        Instant at = TRY(parse_instant(table.cell(row, time)));
        if (row == 0) start = at;
        if (at < start || (at - start) % step != Seconds(0)) continue;
        auto index = static_cast<size_t>((at - start) / step);
        if (index >= values.size()) values.resize(index + 1, unknown);
        values[index] = TRY(table.number(row, column)).value_or(unknown);
    }
    return StepSeries(start, step, std::move(values));
}

Result<std::vector<Issue>> read_issues(const CsvTable& table) {
    size_t issued = TRY(table.column("issued_utc")), target = TRY(table.column("target_utc")), value = TRY(table.column("forecast_lca"));
    std::vector<Issue> issues;
    std::vector<double> values;
    Instant first{};
    auto finish = [&] {
        // One day's issue stands in some files under the date of the day before it, so that one date has two.
        if (!issues.empty() && issues.back().issued_at >= first) first += std::chrono::hours(24);
        if (!values.empty()) issues.push_back({first, StepSeries(first, Seconds(3600), std::move(values))});
        values.clear();
    };
    for (size_t row = 0; row < table.row_count(); row++) {
        Instant from = TRY(parse_instant(table.cell(row, issued))), at = TRY(parse_instant(table.cell(row, target)));
        if (at == from) finish(), first = from;
        values.push_back(TRY(table.number(row, value)).value_or(unknown));
    }
    finish();
    return issues;
}

}  // namespace

Result<StepSeries> read_series(const CsvTable& table, const std::string& time_column, const std::string& column, Seconds step) {
    return make_series(table, TRY(table.column(time_column)), TRY(table.column(column)), step);
}

Result<std::map<std::string, StepSeries>> read_zones(const std::string& data) {
    CsvTable table = TRY(CsvTable::read(data + "/em2022_lca_hourly_123zones.csv"));
    std::map<std::string, StepSeries> zones;
    for (size_t column = 1; column < table.columns().size(); column++)
        zones[table.columns()[column]] = TRY(make_series(table, 0, column, Seconds(3600)));
    return zones;
}

Result<std::vector<Region>> read_regions(const std::string& data) {
    std::vector<Region> regions;
    for (const char* name : {"CISO", "DE", "PJM", "SE", "NL", "BPAT", "FPL"}) {
        CsvTable measured = TRY(CsvTable::read(data + "/cc2020-21_hourly_" + name + ".csv"));
        CsvTable issued = TRY(CsvTable::read(data + "/cc2021h2_fcst96h_" + name + ".csv"));
        regions.push_back({name, TRY(read_series(measured, "datetime_utc", "ci_lca", Seconds(3600))), TRY(read_issues(issued))});
    }
    return regions;
}

}  // namespace hyper::figures
