// SPDX-License-Identifier: Apache-2.0
// Where runs fit: what limits leave free, and windows leave open, on a grid of equal steps. Bound to one thread.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "scheduler/jobs/job.h"
#include "scheduler/planner/planner.h"

namespace hyper::scheduler {

// Disks of one place: a URI's scheme and host, else the folder.
std::string place_of(const std::string& operand);

class Room {
  public:
    Room(const GlobalLimits& limits, Instant now, Instant horizon);

    // What is left to a job, as one capacity: a step is free if its window is open and no limit is reached.
    Capacity left_to(const Job& job) const;
    // Whether limits let it run over that time; windows are not asked.
    bool limits_fit(const Job& job, Instant from, Instant until) const;
    // Counts a run, also where it goes over a limit.
    void take(const Job& job, Instant from, Instant until);
    // The first step from `from` on at which a run of that length fits, as far as the grid goes.
    std::optional<Instant> first_fit(const Capacity& left, Instant from, Seconds length) const;
    Seconds step() const { return step_; }

  private:
    using Counts = std::vector<unsigned>;
    size_t index_of(Instant instant) const;
    Counts& counts(std::map<std::string, Counts>& of, const std::string& place);
    struct Places {
        const Counts *source, *target;  // null: nothing was taken there
    };
    Places places_of(const Job& job) const;
    bool full(const Places& places, size_t step) const;
    const std::vector<bool>& open_steps(const Policy& policy) const;

    const GlobalLimits& limits_;
    Instant start_;
    Seconds step_;
    size_t steps_;
    Counts all_;
    std::map<std::string, Counts> sources_, targets_;
    mutable std::map<std::string, std::vector<bool>> open_;  // by the windows' text
};

}  // namespace hyper::scheduler
