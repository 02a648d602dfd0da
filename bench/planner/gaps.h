// SPDX-License-Identifier: Apache-2.0
// How near the fleet's plan comes to an exact solver's.
#pragma once

#include <vector>

#include "bench/planner/fleets.h"

namespace hyper::figures {

struct Gaps {
    std::vector<double> shares;  // (ours - exact) / exact, of each fleet in which both keep all limits and deadlines
    int impossible = 0;          // fleets of which the solver says that limits and deadlines cannot all be kept
    int missed = 0;              // fleets in which it finds a plan and ours goes over a limit

    double mean() const;
    double worst() const;
    // How many are within 0.01 %.
    int exact() const;
};

Gaps measure_gaps(const SmallFleetShape& shape, const std::vector<carbon::StepSeries>& zones, int count, uint64_t seed);

}  // namespace hyper::figures
