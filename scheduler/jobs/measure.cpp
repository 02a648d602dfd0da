// SPDX-License-Identifier: Apache-2.0
#include "scheduler/jobs/measure.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace hyper::scheduler {
namespace {

// The value below which that share of the sorted ones lies, between neighbours by interpolation.
double quantile(std::vector<double> values, double share) {
    std::sort(values.begin(), values.end());
    double place = share * double(values.size() - 1);
    auto below = static_cast<size_t>(place);
    size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (place - double(below)) * (values[above] - values[below]);
}

// The 95th percentile of what comes next, as far as few values can tell: the largest of n values has been passed by the next one with a chance of
// 1 / (n + 1), so below 19 values it is widened.
double high(const std::vector<double>& values) {
    double measured = quantile(values, 0.95);
    double few = values.size() < 19 ? 1 + 2.0 / double(values.size()) : 1;
    return measured * few;
}

constexpr double bytes_max = 1e18;

Seconds length_of(double seconds) {
    constexpr double seconds_max = 3650.0 * 86400;
    return Seconds(static_cast<int64_t>(std::clamp(std::ceil(seconds), 1.0, seconds_max)));
}

}  // namespace

SyncSize estimate_sync(std::span<const SyncMeasure> measures, Seconds since, uint64_t bytes_per_second_max) {
    if (measures.size() > measures_used) measures = measures.last(measures_used);
    std::vector<double> dirty, speed, fixed, first;  // bytes a second of waiting; seconds a byte; seconds of syncs that moved nothing; bytes of first syncs
    for (const SyncMeasure& measure : measures) {
        if (measure.since.count() > 0)
            dirty.push_back(double(measure.moved_bytes) / double(measure.since.count()));
        else
            first.push_back(double(measure.moved_bytes));
        if (measure.moved_bytes > 0)
            speed.push_back(measure.seconds / double(measure.moved_bytes));
        else
            fixed.push_back(measure.seconds);
    }
    SyncSize size;
    if (measures.empty() || (since.count() == 0 && first.empty())) return size;
    size.measured = true;
    double wait = double(since.count()), bytes = 0, bytes_p95 = 0;
    if (since.count() == 0) {
        bytes = quantile(first, 0.5), bytes_p95 = quantile(first, 0.95);
    } else if (dirty.empty()) {
        // No later sync moves more than the first, which moved all.
        bytes = quantile(first, 0.5) / 2, bytes_p95 = quantile(first, 0.5);
    } else {
        bytes = quantile(dirty, 0.5) * wait, bytes_p95 = high(dirty) * wait;
    }
    bytes = std::min(bytes, bytes_max), bytes_p95 = std::min(bytes_p95, bytes_max);
    double seconds = speed.empty() ? quantile(fixed, 0.5) : quantile(speed, 0.5) * bytes;
    double seconds_p95 = speed.empty() ? high(fixed) : high(speed) * bytes_p95;
    if (bytes_per_second_max > 0) {
        seconds = std::max(seconds, bytes / double(bytes_per_second_max));
        seconds_p95 = std::max(seconds_p95, bytes_p95 / double(bytes_per_second_max));
    }
    size.bytes = static_cast<uint64_t>(bytes), size.bytes_p95 = static_cast<uint64_t>(bytes_p95);
    size.length = length_of(seconds);
    size.length_p95 = std::max(size.length, length_of(seconds_p95));
    return size;
}

std::optional<RestoreSize> estimate_restore(std::span<const SyncMeasure> measures) {
    uint64_t bytes = 0;
    std::vector<double> speed;  // seconds a byte
    for (const SyncMeasure& measure : measures) {
        if (measure.moved_bytes == 0) continue;
        if (measure.since.count() == 0) bytes = std::max(bytes, measure.moved_bytes);
        speed.push_back(measure.seconds / double(measure.moved_bytes));
    }
    if (bytes == 0) return std::nullopt;
    return RestoreSize{bytes, length_of(quantile(speed, 0.5) * double(bytes))};
}

void drop_unused(std::vector<SyncMeasure>& measures) {
    if (measures.size() <= measures_used) return;
    auto old = measures.end() - measures_used;
    auto first = std::find_if(measures.rbegin(), measures.rend(), [](const SyncMeasure& measure) { return measure.since.count() == 0; });
    if (first != measures.rend() && first.base() <= old) std::iter_swap(--old, first.base() - 1);
    measures.erase(measures.begin(), old);
}

}  // namespace hyper::scheduler
