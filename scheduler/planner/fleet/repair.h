// SPDX-License-Identifier: Apache-2.0
// Improves a schedule in which each job took what those before it had left: see repair.cpp.
#pragma once

#include "scheduler/planner/fleet/schedule.h"

namespace hyper::scheduler {

// `wanting`: the jobs that limits kept from the place they wished for.
void repair(const Fleet& fleet, const Frame& frame, const FleetOrder& order, Schedule& schedule, std::vector<uint32_t> wanting);

}  // namespace hyper::scheduler
