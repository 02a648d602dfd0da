// SPDX-License-Identifier: Apache-2.0
#include "scheduler/planner/trade.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace hyper::scheduler {
namespace {

using carbon::StepSeries;

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

struct Part {
    const StepSeries* series;
    double factor;
};

double spent_at(const StepSeries& series, double kw, std::span<const TimeRange> runs) {
    double sum = 0;
    for (const TimeRange& run : runs) sum += series.mean(run.from, run.until).value_or(unknown) * kw * double((run.until - run.from).count()) / 3600;
    return sum;
}

}  // namespace

Weights weigh(std::span<const RunEnd> ends, const Worth& worth) {
    std::vector<Part> parts;
    for (const RunEnd& end : ends) {
        if (worth.gram != 0 && end.kw != 0) parts.push_back({&end.place->grams_per_kwh, worth.gram * end.kw});
        if (worth.money != 0 && end.kw != 0) parts.push_back({&end.place->money_per_kwh, worth.money * end.kw});
    }
    std::erase_if(parts, [](const Part& part) { return part.series->empty(); });
    if (parts.empty()) return Weights();
    Instant start = parts[0].series->start(), until = parts[0].series->end();
    for (const Part& part : parts) start = std::max(start, part.series->start()), until = std::min(until, part.series->end());
    if (until <= start) return Weights();
    // The finest grid on which no series changes within a step.
    int64_t step = 0;
    for (const Part& part : parts) step = std::gcd(std::gcd(step, part.series->step().count()), (start - part.series->start()).count());
    std::vector<double> values(static_cast<size_t>((until - start).count() / step));
    for (size_t i = 0; i < values.size(); i++)
        for (const Part& part : parts) values[i] += part.factor * part.series->at(start + Seconds(step) * i).value_or(unknown);
    return Weights(StepSeries(start, Seconds(step), std::move(values)));
}

Spent spent(std::span<const RunEnd> ends, std::span<const TimeRange> runs) {
    Spent sum;
    for (const RunEnd& end : ends) {
        if (end.kw == 0) continue;
        sum.grams += spent_at(end.place->grams_per_kwh, end.kw, runs);
        sum.money += spent_at(end.place->money_per_kwh, end.kw, runs);
    }
    return sum;
}

Trade trade_of(const Task& task, std::span<const RunEnd> ends, std::span<const TimeRange> planned) {
    TimeRange now{task.earliest, task.earliest + task.length};
    return {spent(ends, planned), spent(ends, {&now, 1}), spent(ends, plan(task, weigh(ends, {1, 0})).runs),
            spent(ends, plan(task, weigh(ends, {0, 1})).runs)};
}

}  // namespace hyper::scheduler
