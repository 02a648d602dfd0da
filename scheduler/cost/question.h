// SPDX-License-Identifier: Apache-2.0
// What can be asked of prices, by `hyperctl cost` and by hyperd's API alike: what syncs cost that go somewhere, with the generations that are kept of them, and the
// same at several targets.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "blockengine/volume/retention.h"
#include "scheduler/cost/estimate.h"

namespace hyper::scheduler {

struct CostQuestion {
    std::optional<Place> from = {};             // none: a place of one's own
    std::optional<int64_t> changed_bytes = {};  // that a sync reads; none: syncs are not priced
    std::optional<int64_t> sent_bytes = {};     // if compression makes them fewer
    int64_t part_bytes = int64_t{8} << 20;      // that a request reads or writes
    int64_t runs = 0;                           // syncs a month; 0: by `every`, or one
    std::optional<Seconds> every = {};          // a sync, or a generation, each so long
    std::optional<RetentionRules> keep = {};    // price a month of the generations that these keep; needs disk_bytes and every
    std::optional<int64_t> disk_bytes = {};     // data on the disk
    int64_t sent_before_bytes = 0;              // by the account, from there, this month
    Instant when{};                             // prices of that day
};

// What it costs where the target is that place; none: a place of one's own. EINVAL, beginning with the member that is wrong ("every: ..."); ENOENT that names the
// price that is missing.
Result<Estimate> estimate(const Prices& prices, const CostQuestion& question, const std::optional<Place>& to);

struct Comparison {
    struct Target {
        Place place;
        Estimate estimate;
    };
    struct NotPriced {
        Place place;
        std::string why;
    };
    std::vector<Target> targets;  // by currency, then by amount: amounts of two currencies have no order
    std::vector<NotPriced> not_priced;
};
// At these places; if there are none, at all classes of objects that have prices. What is wrong in the question is wrong for all of them: EINVAL.
Result<Comparison> compare(const Prices& prices, const CostQuestion& question, std::vector<Place> places);

}  // namespace hyper::scheduler
