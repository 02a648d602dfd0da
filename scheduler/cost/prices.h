// SPDX-License-Identifier: Apache-2.0
// Dated price files: a CSV, one row a price, in the flat form of Infracost's Cloud Pricing API:
//
//     vendor,service,family,region,sku,attributes,purchase_option,unit,start,end,price,currency,effective,source
//
// `start` and `end` are the tier's bounds in that unit, within a month; an empty `end` is no bound. `effective` is the day from
// which the price holds. No price is in the program's source.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "blockengine/base/csv.h"
#include "blockengine/base/instant.h"
#include "scheduler/cost/money.h"
#include "scheduler/cost/unit.h"

namespace hyper::scheduler {

// What is priced.
struct PriceKey {
    std::string vendor, service, family, region, sku;
    auto operator<=>(const PriceKey&) const = default;

    std::string text() const { return vendor + "/" + service + "/" + family + "/" + region + "/" + sku; }
};

struct Tier {
    int64_t start = 0;           // in base units
    std::optional<int64_t> end;  // not in it
    Money price;                 // for a unit
};

// A price on a day: all its tiers, in order and without holes, the first from 0.
struct PriceList {
    PriceKey key;
    Unit unit;
    std::string currency, attributes, source;
    Instant effective;
    std::vector<Tier> tiers;
};

class Prices {
  public:
    // EINVAL with line and column, or with key, and what is wrong: an unknown unit, tiers with holes, two currencies in one list.
    static Result<Prices> read(const CsvTable& table);

    // Takes the lists of `other`, too; of two of one key and day the other's.
    void add(const Prices& other);

    // The list that holds on that day. ENOENT where there is none: nothing is estimated without a price.
    Result<const PriceList*> find(const PriceKey& key, Instant day) const;
    const std::vector<PriceList>& lists() const { return lists_; }

  private:
    std::vector<PriceList> lists_;  // by key, then by effective
};

}  // namespace hyper::scheduler
