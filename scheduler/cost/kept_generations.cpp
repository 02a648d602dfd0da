// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost/kept_generations.h"

#include <algorithm>
#include <cerrno>
#include <limits>

#include "scheduler/cost/meter.h"

namespace hyper::scheduler {
namespace {

constexpr int64_t month_s = 730 * 3600, day_s = 86400, hour_s = 3600, generations_max = 100'000;
// A Monday in the past of every example, so that plans do not depend on today.
constexpr int64_t begin_s = 1704067200;  // 2024-01-01T00:00:00Z
__extension__ using Wide = __int128;

// After so long nothing more is added to what the rules keep.
int64_t full_after_s(const RetentionRules& keep, int64_t interval_s) {
    const Wide spans[] = {Wide(keep.keep_last) * interval_s, Wide(keep.keep_hourly) * std::max(hour_s, interval_s),
                          Wide(keep.keep_daily) * std::max(day_s, interval_s), Wide(keep.keep_weekly) * std::max(7 * day_s, interval_s),
                          Wide(keep.keep_monthly) * std::max(31 * day_s, interval_s), Wide(keep.keep_yearly) * std::max(366 * day_s, interval_s)};
    Wide longest = *std::max_element(std::begin(spans), std::end(spans));
    return longest > Wide(std::numeric_limits<int64_t>::max() / 4) ? std::numeric_limits<int64_t>::max() / 4 : int64_t(longest);
}

// Bytes that the generations take together.
Wide stored(const GenerationPlan& plan, const std::vector<RetentionInput>& kept) {
    Wide bytes = plan.disk_bytes;
    for (size_t i = 1; i < kept.size(); i++)
        bytes += std::min(Wide(plan.disk_bytes), Wide(plan.change_bytes) * (kept[i].number - kept[i - 1].number));
    return bytes;
}

}  // namespace

Result<KeptGenerations> keep_generations(const GenerationPlan& plan) {
    int64_t interval_s = plan.interval.count();
    if (interval_s < 60) return fail(EINVAL, "a generation every {} s: a minute is the least", interval_s);
    if (plan.disk_bytes < 0 || plan.change_bytes < 0) return fail(EINVAL, "{} bytes, and changes of {}, are no disk", plan.disk_bytes, plan.change_bytes);
    int64_t full_s = full_after_s(plan.keep, interval_s);
    int64_t count = (full_s + month_s) / interval_s + 2;
    if (count > generations_max)
        return fail(EINVAL, "the rules take {} generations to be full, where {} are the most (fewer rules, or a longer interval)", count, generations_max);
    std::vector<RetentionInput> kept;
    KeptGenerations result;
    Wide byte_seconds = 0, early = 0;
    int64_t counted_s = 0;
    for (int64_t i = 0; i < count; i++) {
        kept.push_back({uint32_t(i + 1), begin_s + i * interval_s, false});
        std::vector<RetentionInput> stay;
        bool counts = i * interval_s >= full_s;
        auto verdicts = judge_retention(plan.keep, kept);
        for (size_t k = 0; k < kept.size(); k++) {
            if (verdicts[k].keep) {
                stay.push_back(kept[k]);
            } else if (counts) {
                int64_t age_hours = (kept.back().time_s - kept[k].time_s) / hour_s;
                early += Wide(std::min(plan.change_bytes, plan.disk_bytes)) * hours_still_billed(age_hours, plan.hours_min);
            }
        }
        kept = std::move(stay);
        if (!counts) continue;
        byte_seconds += stored(plan, kept) * interval_s;
        counted_s += interval_s;
    }
    result.count = int64_t(kept.size());
    Wide average = byte_seconds / counted_s, early_month = early * month_s / counted_s;
    if (average > Wide(std::numeric_limits<int64_t>::max()) || early_month > Wide(std::numeric_limits<int64_t>::max()))
        return fail(ERANGE, "the generations take more than can be counted");
    result.stored_bytes = int64_t(average), result.early_byte_hours = int64_t(early_month);
    return result;
}

}  // namespace hyper::scheduler
