// SPDX-License-Identifier: Apache-2.0
// The price file that is built in: scheduler/cost/prices.csv. It is small, and old as soon as it is made: its rows say when and where they were read, and price files
// that `hyperctl cost import` makes of vendors' feeds take their place.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "scheduler/cost/prices.h"

namespace hyper::scheduler {

extern const std::string_view shipped_prices_csv;

// All of it.
const Prices& shipped_prices();
// It, and over it what these files hold. Errors name the file, and the line and column where those are to blame.
Result<Prices> read_prices(const std::vector<std::string>& files);

}  // namespace hyper::scheduler
