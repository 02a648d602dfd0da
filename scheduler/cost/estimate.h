// SPDX-License-Identifier: Apache-2.0
// What a sync, a schedule of them, and the generations that it leaves cost, at list prices. An estimate is a list of lines, each with quantity, price, day and
// source, so that it can be checked by hand; it is refused where a price is missing, and it never adds two currencies.
//
// What is counted of a sync:
//
//     AWS, from snapshots    ListChangedBlocks, 10,000 blocks a page; GetSnapshotBlock, a block of 512 KiB each
//     from an object class   reads of one part each, and what its class takes for retrieval
//     leaving a vendor       egress to the internet, after what the account has already sent this month
//     leaving a region       its price to that region, else to any
//     entering               what the vendor takes for it, where the prices say so
//     to an object class     a write for each part, and two to begin and to end an upload of several
//     AWS, to snapshots      PutSnapshotBlock, a block of 512 KiB each; as bytes are sent
//
// What is not: computers, NAT, private links, taxes, discounts. Blocks of 512 KiB are taken to hold only what changed, so where changes lie far
// apart there are more of them.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "scheduler/cost/keys.h"
#include "scheduler/cost/meter.h"

namespace hyper::scheduler {

struct CostLine {
    std::string element;  // "egress to the internet"
    PriceKey key;
    int64_t quantity = 0;  // in base units of `unit`
    Unit unit;
    Money price;  // a unit
    std::string currency;
    Instant effective;
    std::string source;
    Money amount;
};

struct Estimate {
    std::vector<CostLine> lines;
    std::map<std::string, Money> totals;  // by currency
};

struct SyncToPrice {
    std::optional<Place> from = {};  // with a class: objects of it; without: snapshots, by the block API. None: what one owns oneself
    std::optional<Place> to = {};    // with a class: objects of it; without: snapshots, by the block API. None: what one owns oneself
    int64_t changed_bytes = 0;       // that are read
    int64_t sent_bytes = 0;          // that leave the reader, after compression
    int64_t part_bytes = int64_t{8} << 20;
    int64_t runs = 1;               // a month
    int64_t sent_before_bytes = 0;  // this month, by the same account, from the same place
    // That end is a disk of a computer there, which takes no requests: only the way to or from it has a price.
    bool from_disk = false, to_disk = false;
};

// How many requests a run makes at its source; 0 for a disk.
int64_t read_requests(const SyncToPrice& syncs);

struct GenerationsToPrice {
    Place at = {};                 // with a class of objects; without: snapshots
    int64_t stored_bytes = 0;      // on average
    int64_t early_byte_hours = 0;  // billed in a month for what was deleted before its class's minimum
};

// All runs of one month; tiers go on from run to run, and each tier is rounded once. ENOENT that names the price that is missing; EINVAL for a place that
// cannot be priced.
Result<Estimate> estimate_syncs(const Prices& prices, const SyncToPrice& syncs, Instant when);
// A month (730 hours) of storage.
Result<Estimate> estimate_storage(const Prices& prices, const GenerationsToPrice& generations, Instant when);

// Both together. ERANGE where a total does not fit.
Result<Estimate> sum(Estimate one, const Estimate& other);

}  // namespace hyper::scheduler
