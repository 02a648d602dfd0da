// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost/meter.h"

#include <algorithm>
#include <cerrno>

#include "blockengine/base/bytes.h"

namespace hyper::scheduler {

Meter::Month Meter::month_of(Instant when) {
    std::chrono::year_month_day day(std::chrono::floor<std::chrono::days>(when));
    return int(day.year()) * 12 + int(unsigned(day.month())) - 1;
}

int64_t Meter::used(const std::string& account, const PriceKey& key, Instant when) const {
    auto found = used_.find({account, key, month_of(when)});
    return found == used_.end() ? 0 : found->second;
}

Result<Charge> Meter::estimate(const std::string& account, const PriceKey& key, Instant when, int64_t quantity) const {
    const PriceList* list = TRY(prices_.find(key, when));
    int64_t from = used(account, key, when), until;
    if (quantity < 0 || __builtin_add_overflow(from, quantity, &until))
        return fail(EINVAL, "{}: {} {}s are no quantity", key.text(), quantity, list->unit.base);
    Charge charge{{}, list->currency, {}};
    for (const Tier& tier : list->tiers) {
        int64_t begin = std::max(from, tier.start), end = tier.end ? std::min(until, *tier.end) : until;
        if (begin >= end) continue;
        Money amount = TRY(amount_of(tier.price, end - begin, list->unit.base_per_unit));
        charge.lines.push_back({key, end - begin, list->unit, tier.price, amount});
        if (__builtin_add_overflow(charge.total.nanos, amount.nanos, &charge.total.nanos))
            return fail(ERANGE, "{}: the charge does not fit", key.text());
    }
    return charge;
}

Result<Charge> Meter::use(const std::string& account, const PriceKey& key, Instant when, int64_t quantity) {
    Charge charge = TRY(estimate(account, key, when, quantity));
    used_[{account, key, month_of(when)}] += quantity;
    return charge;
}

}  // namespace hyper::scheduler
