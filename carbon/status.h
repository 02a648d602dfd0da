// SPDX-License-Identifier: Apache-2.0
// How clean a grid is: a name for people, and the rank that decides.
#pragma once

#include <optional>

#include "carbon/intensity.h"

namespace hyper::carbon {

// By absolute intensity, in g/kWh: excellent under 100, good under 200, moderate under 400, poor under 600, else very poor.
const char* status_name(double grams_per_kwh);

// Which share of the zone's last 30 days was cleaner than that, 0 (nothing was) to 1; what is equal counts by half. An always dirty grid
// has good hours too, and an always clean one bad ones, so decisions go by this and not by the name. Nothing where less
// than a week is known.
std::optional<double> rank_in_last_month(double grams_per_kwh, const StepSeries& history, Instant now);

}  // namespace hyper::carbon
