// SPDX-License-Identifier: Apache-2.0
// What is read out of a vendor's price feed, on its way to our price file. Bound to one thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "scheduler/cost/prices.h"

namespace hyper::scheduler {

// As parse_money(), and with an exponent: "2E-06", as JSON has it.
Result<Money> parse_decimal(std::string_view text);

// One tier of a price, as the vendor says it.
struct FeedPrice {
    std::string name = {};  // in the vendor's words, for messages
    PriceKey key = {};
    std::string attributes = {};
    std::string unit = {};          // one of scheduler/cost/unit.h
    Money start = {};               // in units
    std::optional<Money> end = {};  // in units; where the feed names none, the next tier's start
    Money price = {};
    std::string currency = {};
    std::string effective = {};  // an instant
    std::string source = {};
};

struct Refusal {
    std::string name, why;
};

struct ImportedPrices {
    std::vector<FeedPrice> prices;  // by key, then by start; each key's tiers are whole, its day the same
    std::vector<Refusal> refused;   // the first hundred
    uint64_t refused_count = 0;     // of what was wanted
    uint64_t other_count = 0;       // products that the appliance has no use for
};

// Takes prices in any order. What is wanted and cannot be understood is refused by its name, and with it all tiers of its key: half a price
// would be a wrong one.
class PriceCollector {
  public:
    void add(FeedPrice price);
    void refuse(std::string name, std::string why);
    // Of a key that add() may know other tiers of.
    void refuse_key(const PriceKey& key, std::string name, std::string why);
    void pass() { other_++; }

    // EFBIG above a million prices.
    Result<ImportedPrices> finish() &&;

  private:
    std::map<PriceKey, std::vector<FeedPrice>> lists_;
    std::map<PriceKey, Refusal> bad_;
    std::vector<Refusal> refused_;
    uint64_t count_ = 0, refused_count_ = 0, other_ = 0;
};

// A price file, for Prices::read().
std::string price_csv(const ImportedPrices& imported);
// A field of a CSV: in quotes where it needs them.
std::string csv_field(std::string_view text);

}  // namespace hyper::scheduler
