// SPDX-License-Identifier: Apache-2.0
#include "tools/hyperctl/schedule_files.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <limits>

#include "carbon/table_signal.h"
#include "scheduler/costs.h"

namespace hyper::ctl {
namespace {

constexpr size_t steps_max = 100'000;

// The rows of one issue; they may leave out steps.
Result<carbon::StepSeries> series_of(const std::vector<Instant>& times, const std::vector<double>& values, const std::string& path) {
    Seconds step = times.size() > 1 ? Seconds::max() : Seconds(3600);
    for (size_t i = 1; i < times.size(); i++) step = std::min(step, times[i] - times[i - 1]);
    if (step.count() <= 0) return fail(EINVAL, "{}: the times of an issue do not rise ({})", path, instant_text(times.front()));
    auto steps = static_cast<size_t>((times.back() - times.front()) / step) + 1;
    if (steps > steps_max) return fail(EINVAL, "{}: an issue has {} steps, where {} are the most", path, steps, steps_max);
    std::vector<double> all(steps, std::numeric_limits<double>::quiet_NaN());
    for (size_t i = 0; i < times.size(); i++) all[static_cast<size_t>((times[i] - times.front()) / step)] = values[i];
    return carbon::StepSeries(times.front(), step, std::move(all));
}

Result<std::vector<scheduler::IssuedForecast>> read_forecasts(const std::string& path) {
    CsvTable table = TRY(CsvTable::read(path));
    size_t issued = TRY(table.column("issued")), time = TRY(table.column("time")), value = TRY(table.column("grams_per_kwh"));
    std::vector<scheduler::IssuedForecast> forecasts;
    std::vector<Instant> times;
    std::vector<double> values;
    Instant issue{};
    auto finish = [&]() -> Result<void> {
        if (!times.empty()) {
            auto series = TRY(series_of(times, values, path));
            forecasts.push_back({issue, std::move(series)});
        }
        times.clear(), values.clear();
        return {};
    };
    for (size_t row = 0; row < table.row_count(); row++) {
        Instant at = TRY(parse_instant(table.cell(row, issued)));
        if (at != issue) {
            TRY(finish());
            if (!forecasts.empty() && at < issue) return fail(EINVAL, "{}: the issue of {} stands after that of {}", path, instant_text(at), instant_text(issue));
            issue = at;
        }
        times.push_back(TRY(parse_instant(table.cell(row, time))));
        values.push_back(TRY(table.number(row, value)).value_or(std::numeric_limits<double>::quiet_NaN()));
    }
    TRY(finish());
    return forecasts;
}

}  // namespace

Result<scheduler::Trace> read_trace(const scheduler::Config& config, const std::string& table, const std::string& forecasts) {
    scheduler::Trace trace;
    if (!table.empty()) {
        CsvTable read = TRY(CsvTable::read(table));
        trace.measured = TRY(carbon::read_signal_table(read));
    }
    for (const auto& entry : trace.measured) {
        std::string path = forecasts + "/" + entry.first + ".csv";
        if (!forecasts.empty() && std::filesystem::exists(path)) trace.forecasts[entry.first] = TRY(read_forecasts(path));
    }
    if (!forecasts.empty() && trace.forecasts.empty()) return fail(ENOENT, "{}: no ZONE.csv of a zone of {} is there", forecasts, table);
    if (trace.measured.empty()) return trace;
    Instant from = Instant::max(), until = Instant::min();
    for (const auto& entry : trace.measured) from = std::min(from, entry.second.start()), until = std::max(until, entry.second.end());
    for (const auto& [zone, tariff] : TRY(scheduler::read_tariffs(config))) trace.prices[zone] = {tariff.series(from, until), tariff.currency()};
    return trace;
}

}  // namespace hyper::ctl
