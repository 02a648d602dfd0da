// SPDX-License-Identifier: Apache-2.0
// What a table of intensities says of the hours to come: what it holds of them, and where it ends what is usual at that hour of the week.
#pragma once

#include "scheduler/decide.h"

namespace hyper::scheduler {

// `name` is how notes call the table; values before `now` count as measured.
ZoneOutlook table_outlook(const carbon::StepSeries& table, const std::string& zone, const std::string& name, Instant now);

}  // namespace hyper::scheduler
