// SPDX-License-Identifier: Apache-2.0
// What syncs and power cost by a configuration: at the prices that are built in, those of its files, and the tariffs of its zones. All money of jobs comes
// from here.
//
// Of a job's sync that is: requests for reading, where `cost.from` says how the disk is read; the way from there, or from carbon.source_zone, to
// carbon.target_zone, as far as these are VENDOR:REGION; and power, where a zone has a tariff. Writing into a volume takes no requests. Where a price is
// missing, or is in another currency than the job's, nothing is guessed: that part of the money is not known, and it is said why.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "scheduler/cost/power.h"
#include "scheduler/cost/prices.h"
#include "scheduler/decide.h"

namespace hyper::scheduler {

// By zone. Errors name the key of the configuration, the file, and what is wrong with it.
Result<std::map<std::string, PowerTariff>> read_tariffs(const Config& config);

// Besides power, by job: of the next sync, were it to begin now.
struct ExpectedCosts {
    std::map<std::string, Money> money;
    std::map<std::string, std::string> unknown;  // why there is no money, of jobs for which there might be
};

// Immutable once it is loaded, so thread-safe.
class Costs {
  public:
    // As read_tariffs().
    static Result<Costs> load(const Config& config);

    // Never null after load().
    const std::shared_ptr<const Prices>& prices() const { return prices_; }
    ExpectedCosts expected(const Config& config, const std::map<std::string, JobState>& states,
                           const std::map<std::string, std::vector<SyncMeasure>>& measures, const MonthUse& used, Instant now) const;
    // Of a sync that moves so many bytes, besides power; `used` tells what the month's tiers have seen. ENOENT that says why it is not known.
    Result<Money> of_sync(const Job& job, const Config& config, uint64_t bytes, const MonthUse& used, Instant when) const;
    // Of power that was drawn evenly; nothing where no tariff in the job's currency tells it.
    std::optional<Money> of_power(const Job& job, const carbon::SyncEnergy& energy, Instant from, Instant until) const;
    // Into the outlooks of zones, from now on; zones of which nothing else is known come in.
    void add_power(std::map<std::string, ZoneOutlook>& zones, Instant now) const;

  private:
    // `sent`: by way, as costs.cpp calls them.
    Result<Money> of_sync(const Job& job, uint64_t bytes, const std::map<std::string, uint64_t>& sent, Instant when) const;

    std::shared_ptr<const Prices> prices_;
    std::map<std::string, PowerTariff> tariffs_;  // by zone
};

// Requests that a sync of so many bytes makes at its source, computed as the estimate does; nothing where `cost.from` does not say how the disk is read.
std::optional<uint64_t> requests_of_sync(const Job& job, uint64_t bytes);

// Decisions say of which jobs the money is not known.
void say_unknown(std::vector<Decision>& decisions, const ExpectedCosts& expected);

}  // namespace hyper::scheduler
