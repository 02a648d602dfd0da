// SPDX-License-Identifier: Apache-2.0
// What a fleet's plan could weigh at least, by exact solvers of others. Two kinds of fleet can be solved: lengths, windows and deadlines in whole
// steps, no guards, all weights known.
#pragma once

#include <optional>

#include "scheduler/planner/fleet/fleet.h"

namespace hyper::figures {

// Interruptible jobs, limits in all and by source, no dependencies: a flow of least cost (LEMON's network simplex).
// Nothing where the limits leave no room.
std::optional<double> exact_in_pieces(const scheduler::Fleet& fleet);

// Jobs that run whole, all limits, dependencies: an integer program (CBC). Nothing where there is no such plan.
std::optional<double> exact_whole(const scheduler::Fleet& fleet);

}  // namespace hyper::figures
