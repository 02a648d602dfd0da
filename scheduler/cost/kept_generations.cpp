// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost/kept_generations.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <limits>
#include <set>

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

// Those that stay, and the bytes that they take together.
class Kept {
  public:
    explicit Kept(const GenerationPlan& plan) : plan_(plan), bytes_(plan.disk_bytes) {}
    void add(int64_t number) {
        if (!numbers_.empty()) bytes_ += between(*numbers_.rbegin(), number);
        numbers_.insert(numbers_.end(), number);
    }
    // Not the newest.
    void remove(int64_t number) {
        auto next = numbers_.erase(numbers_.find(number));
        bytes_ -= between(number, *next);
        if (next != numbers_.begin()) bytes_ += between(*std::prev(next), *next) - between(*std::prev(next), number);
    }
    Wide bytes() const { return bytes_; }
    int64_t count() const { return int64_t(numbers_.size()); }

  private:
    Wide between(int64_t older, int64_t newer) const { return std::min(Wide(plan_.disk_bytes), Wide(plan_.change_bytes) * (newer - older)); }

    const GenerationPlan& plan_;
    std::set<int64_t> numbers_;
    Wide bytes_;
};

}  // namespace

Result<KeptGenerations> keep_generations(const GenerationPlan& plan) {
    int64_t interval_s = plan.interval.count();
    if (interval_s < 60) return fail(EINVAL, "every: a generation every {} s: a minute is the least", interval_s);
    if (plan.disk_bytes < 0 || plan.change_bytes < 0) return fail(EINVAL, "{} bytes, and changes of {}, are no disk", plan.disk_bytes, plan.change_bytes);
    int64_t full_s = full_after_s(plan.keep, interval_s);
    int64_t count = (full_s + month_s) / interval_s + 2;
    if (count > generations_max)
        return fail(EINVAL, "keep: it takes {} generations, one every {} s, until {} keeps all that it will, where {} are the most (try smaller numbers, or a longer every)",
                    count, interval_s, format_retention(plan.keep), generations_max);
    RetentionWalk walk(plan.keep);
    Kept kept(plan);
    KeptGenerations result;
    Wide byte_seconds = 0, early = 0;
    int64_t counted_s = 0;
    for (int64_t i = 0; i < count; i++) {
        bool counts = i * interval_s >= full_s;
        kept.add(i);
        for (int64_t gone : walk.add({uint32_t(i), begin_s + i * interval_s})) {
            kept.remove(gone);
            if (counts) early += Wide(std::min(plan.change_bytes, plan.disk_bytes)) * hours_still_billed((i - gone) * interval_s / hour_s, plan.hours_min);
        }
        if (!counts) continue;
        byte_seconds += kept.bytes() * interval_s;
        counted_s += interval_s;
    }
    result.count = kept.count();
    Wide average = byte_seconds / counted_s, early_month = early * month_s / counted_s;
    if (average > Wide(std::numeric_limits<int64_t>::max()) || early_month > Wide(std::numeric_limits<int64_t>::max()))
        return fail(ERANGE, "the generations take more than can be counted");
    result.stored_bytes = int64_t(average), result.early_byte_hours = int64_t(early_month);
    return result;
}

}  // namespace hyper::scheduler
