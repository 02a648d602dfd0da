// SPDX-License-Identifier: Apache-2.0
// A fleet's times in whole steps, as the exact solvers take them.
#pragma once

#include <cstdint>
#include <vector>

#include "scheduler/planner/fleet/fleet.h"

namespace hyper::figures {

struct StepJob {
    int earliest = 0, latest_end = 0, length = 0;  // in steps
    uint32_t source = 0, target = 0;
    std::vector<double> weights;  // of a step each
    std::vector<bool> open;       // by windows
};

std::vector<StepJob> in_steps(const scheduler::Fleet& fleet);

}  // namespace hyper::figures
