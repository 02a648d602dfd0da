// SPDX-License-Identifier: Apache-2.0
// What a run emitted, what it would have emitted had it begun when it was due, and what foresight could have had: computed from the ledger's row
// and what was measured, so it can be computed again.
#pragma once

#include "scheduler/hyperd/outlooks.h"
#include "scheduler/state/ledger.h"

namespace hyper::hyperd {

// Fills in what `measured` knows by `now`, and leaves the rest as it is; but what was emitted is told anew with what foresight could have had, of
// which another feed may know more. True where the row has changed.
bool settle(scheduler::RunRow& row, const scheduler::CarbonRule& rule, const Outlooks& measured, Instant now);

}  // namespace hyper::hyperd
