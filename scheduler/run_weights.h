// SPDX-License-Identifier: Apache-2.0
// What a run of a job emits and costs, by when it runs.
#pragma once

#include "scheduler/decide.h"

namespace hyper::scheduler {

// The grids of a job's ends, as far as its rules name them and something is expected of them.
class RunWeights {
  public:
    // Of a run of `length` that moves so many bytes. What is referred to must live as long as this.
    RunWeights(const Job& job, const World& world, uint64_t bytes, Seconds length);

    // Grams and money as the policy weighs them, from the step of `now` to where the outlooks end, at most until `horizon`. Empty where nothing is known
    // or nothing counts.
    Weights weigh(Instant horizon) const;
    // Of the run in these pieces, over which its energy is spread evenly; nothing where that is not known for all of them.
    std::optional<carbon::Estimate> grams(const std::vector<TimeRange>& pieces) const;
    std::optional<Money> power_money(const std::vector<TimeRange>& pieces) const;
    // Of the run from `start`, in one piece.
    std::optional<carbon::Estimate> grams(Instant start) const { return grams({{start, start + length_}}); }
    std::optional<Money> power_money(Instant start) const { return power_money({{start, start + length_}}); }
    std::string issues() const;
    std::vector<std::string> notes() const;

  private:
    struct End {
        const ZoneOutlook* outlook = nullptr;
        const carbon::StepSeries* price = nullptr;  // of a kWh in the job's currency
        carbon::Estimate energy;  // kWh of the run, half of the network's with it
    };
    std::vector<End> known_ends() const;

    const Job& job_;
    Instant now_;
    Seconds length_;
    std::string source_grid_, target_grid_;
    End source_, target_;
};

}  // namespace hyper::scheduler
