// SPDX-License-Identifier: Apache-2.0
// Figure 1, second part: Wiesner et al., "Let's Wait Awhile", Middleware 2021, by the rules of the authors' simulate.py and strategy.py.
#include <cmath>
#include <numbers>

#include "bench/carbon/figures.h"
#include "bench/carbon/traces.h"
#include "scheduler/planner/planner.h"
#include "scheduler/planner/seed.h"

namespace hyper::figures {
namespace {

using namespace std::chrono;
using scheduler::Plan;
using scheduler::Task;
using scheduler::Weights;

constexpr Seconds half_hour{1800};
constexpr Instant year_2020 = sys_days(2020y / January / 1);
constexpr int seeds = 10;

Result<StepSeries> read_country(const std::string& data, const std::string& country) {
    CsvTable table = TRY(CsvTable::read(data + "/lwa2020_" + country + ".csv"));
    return read_series(table, "datetime", "ci_gco2_per_kwh", half_hour);
}

// A forecast as the authors make it: every value with a normal error of that share of the mean.
StepSeries with_error(const StepSeries& series, double share, uint64_t seed) {
    double sum = 0;
    size_t known = 0;
    for (double value : series.values())
        if (!std::isnan(value)) sum += value, known++;
    std::vector<double> values = series.values();
    for (size_t i = 0; i < values.size(); i++) {
        auto uniform = [&](uint64_t n) { return (double(scheduler::mix(seed * 1000003 + i * 2 + n) >> 11) + 0.5) * 0x1p-53; };
        double normal = std::sqrt(-2 * std::log(uniform(0))) * std::cos(2 * std::numbers::pi * uniform(1));
        values[i] += share * sum / double(known) * normal;
    }
    return StepSeries(series.start(), series.step(), std::move(values));
}

double weight_of(const Plan& plan, const Weights& actual) {
    double sum = 0;
    for (const scheduler::TimeRange& run : plan.runs) sum += actual.of(run.from, run.until);
    return sum;
}

// A job of half an hour at 01:00 of 365 nights, that may start up to `window` before or after. The authors' simulator begins with the
// year, so it leaves the first night out where its window would begin before; their mean of the others is compared with that of all.
double nightly_saving(const StepSeries& series, hours window) {
    Weights weights(series);
    constexpr int nights = 365;
    double now = 0, best = 0;
    for (int night = 0; night < nights; night++) {
        Instant at = year_2020 + days(night) + hours(1);
        now += weights.of(at, at + half_hour);
        if (night > 0) best += scheduler::plan({.length = half_hour, .earliest = at - window, .latest_end = at + window + half_hour}, weights).weight;
    }
    return (1 - (best / (nights - 1)) / (now / nights)) * 100;
}

// "Next workday": a job that would end while nobody works may end when they come.
Instant deadline(Instant end) {
    auto day = floor<days>(end);
    auto time = end - day;
    unsigned weekday_number = weekday(day).iso_encoding();
    if (weekday_number == 6) return day + days(2) + hours(9);
    if (weekday_number == 7 || time > hours(17)) return day + days(1) + hours(9);
    return time < hours(9) ? Instant(day + hours(9)) : end;
}

Result<double> batch_saving(const std::string& data, const StepSeries& series, bool interruptible) {
    CsvTable jobs = TRY(CsvTable::read(data + "/lwa2020_ml_jobs.csv"));
    Weights actual(series);
    double now = 0, planned = 0;
    for (uint64_t seed = 0; seed < seeds; seed++) {
        Weights forecast(with_error(series, 0.05, seed));
        for (size_t row = 0; row < jobs.row_count(); row++) {
            Instant at = year_2020 + minutes(int(TRY(jobs.number(row, 0)).value_or(0)));
            Seconds length = minutes(int(TRY(jobs.number(row, 1)).value_or(0)));
            Task task{.length = length, .earliest = at, .latest_end = deadline(at + length), .interruptible = interruptible};
            now += actual.of(at, at + length);
            planned += weight_of(scheduler::plan(task, forecast), actual);
        }
    }
    return (1 - planned / now) * 100;
}

}  // namespace

Result<void> lets_wait_awhile(const std::string& data) {
    struct Country {
        const char *file, *name;
        double nightly[4];     // the data's README: no error, +-2, 4, 6, 8 h
        double whole, pieces;  // the authors' notebook: scenario II, 5 % error
    };
    for (const Country& country :
         {Country{"de", "DE", {2.53, 3.70, 7.27, 13.52}, 5.91, 7.93}, Country{"gb", "GB", {6.56, 8.36, 8.87, 10.17}, 6.56, 9.03},
          Country{"fr", "FR", {4.46, 5.83, 6.87, 7.54}, 4.77, 5.92}}) {
        StepSeries series = TRY(read_country(data, country.file));
        for (int i = 0; i < 4; i++)
            compare(1, fmt::format("Let's Wait Awhile I, {}, 01:00 +-{} h, %", country.name, 2 * i + 2), country.nightly[i],
                    nightly_saving(series, hours(2 * i + 2)), 0.02);
        compare(1, fmt::format("Let's Wait Awhile II, {}, whole, %", country.name), country.whole, TRY(batch_saving(data, series, false)), 0.15);
        compare(1, fmt::format("Let's Wait Awhile II, {}, interruptible, %", country.name), country.pieces, TRY(batch_saving(data, series, true)),
                0.15);
    }
    return {};
}

}  // namespace hyper::figures
