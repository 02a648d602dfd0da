// SPDX-License-Identifier: Apache-2.0
// What is used, and what it costs. Tiers accumulate by account and calendar month (UTC), over all jobs: the second sync of a month
// begins where the first one ended. Bound to one thread.
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "scheduler/cost/prices.h"

namespace hyper::scheduler {

// A part of a charge: what fell into one tier.
struct InvoiceLine {
    PriceKey key;
    int64_t quantity;  // in base units
    Unit unit;
    Money price;  // a unit
    Money amount;
};

struct Charge {
    std::vector<InvoiceLine> lines;
    std::string currency;
    Money total;
};

class Meter {
  public:
    explicit Meter(const Prices& prices) : prices_(prices) {}

    // Counts `quantity` base units that `account` used at that time. ENOENT without a price; EINVAL below 0.
    Result<Charge> use(const std::string& account, const PriceKey& key, Instant when, int64_t quantity);
    // What use() would charge; counts nothing.
    Result<Charge> estimate(const std::string& account, const PriceKey& key, Instant when, int64_t quantity) const;
    // Counted so far in that month.
    int64_t used(const std::string& account, const PriceKey& key, Instant when) const;

  private:
    using Month = int;  // since year 0
    static Month month_of(Instant when);

    const Prices& prices_;
    std::map<std::tuple<std::string, PriceKey, Month>, int64_t> used_;
};

// Of data that is deleted after `stored_hours`, where its class is billed for `hours_min` at least: the hours that are billed all the
// same, after it is gone.
constexpr int64_t hours_still_billed(int64_t stored_hours, int64_t hours_min) {
    return stored_hours < hours_min ? hours_min - stored_hours : 0;
}

}  // namespace hyper::scheduler
