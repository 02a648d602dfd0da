// SPDX-License-Identifier: Apache-2.0
// Fleets to measure: a large one as a provider of backups may have, and small ones that can be solved exactly.
#pragma once

#include <string>

#include "bench/planner/draw.h"
#include "scheduler/planner/fleet/fleet.h"
#include "scheduler/planner/trade.h"

namespace hyper::figures {

// Hourly g/kWh of grids that breathe with day, sun and wind.
std::vector<carbon::StepSeries> synthetic_zones(size_t zones, Instant start, size_t hours, uint64_t seed);

// What changes from one plan to the next, and what does not.
struct LargeFleet {
    std::vector<scheduler::Place> places;         // by zone
    std::vector<scheduler::Worth> worths;         // by policy: weights[zone * policies + policy]
    std::vector<std::vector<std::string>> allow, deny;  // windows, by policy
    scheduler::Fleet fleet;                        // its weights and windows are made by renew()

    // All that a new forecast makes new.
    void renew();
};

// Prices by the hour, with some below zero, are made for `zones`, hourly from `start` on.
LargeFleet large_fleet(size_t jobs, std::vector<carbon::StepSeries> zones, uint64_t seed);

struct SmallFleetShape {
    int jobs_max = 0, steps = 0, length_max = 0;
    bool interruptible = false, targets = false, dependencies = false;
};
// With limits that are used to 50 to 90 %, and windows. Zones are drawn from `zones`, hourly over at least `steps`.
scheduler::Fleet small_fleet(const SmallFleetShape& shape, const std::vector<carbon::StepSeries>& zones, uint64_t seed);

}  // namespace hyper::figures
