// SPDX-License-Identifier: Apache-2.0
#include "carbon/table_signal.h"

#include <algorithm>
#include <cerrno>
#include <limits>

namespace hyper::carbon {
namespace {

constexpr size_t steps_max = 4'000'000;

}  // namespace

Result<std::map<std::string, StepSeries>> read_signal_table(const CsvTable& table) {
    size_t time = TRY(table.column("time"));
    std::vector<Instant> times;
    for (size_t row = 0; row < table.row_count(); row++) times.push_back(TRY(parse_instant(table.cell(row, time))));
    if (times.size() < 2) return fail(EINVAL, "signal table: {} rows, where two or more are needed", times.size());
    Seconds step = Seconds::max();
    for (size_t row = 1; row < times.size(); row++) step = std::min(step, times[row] - times[row - 1]);
    if (step.count() <= 0) return fail(EINVAL, "signal table: its times do not rise");
    auto steps = static_cast<size_t>((times.back() - times.front()) / step) + 1;
    if (steps > steps_max) return fail(EFBIG, "signal table: {} steps of {} s, where {} are the most", steps, step.count(), steps_max);
    std::map<std::string, StepSeries> zones;
    for (size_t column = 0; column < table.columns().size(); column++) {
        if (column == time) continue;
        std::vector<double> values(steps, std::numeric_limits<double>::quiet_NaN());
        for (size_t row = 0; row < times.size(); row++) {
            Seconds since = times[row] - times.front();
            if (since % step != Seconds(0))
                return fail(EINVAL, "signal table: {} is not a whole number of steps of {} s after the first time", table.cell(row, time),
                            step.count());
            if (auto value = TRY(table.number(row, column))) values[static_cast<size_t>(since / step)] = *value;
        }
        zones.emplace(table.columns()[column], StepSeries(times.front(), step, std::move(values)));
    }
    return zones;
}

}  // namespace hyper::carbon
