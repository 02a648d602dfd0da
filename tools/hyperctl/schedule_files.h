// SPDX-License-Identifier: Apache-2.0
// What plan and simulate read: intensities, forecasts and tariffs from files.
#pragma once

#include "scheduler/simulate.h"

namespace hyper::ctl {

// `table` as carbon/table_signal.h reads it; empty for none. `forecasts`, if not empty, is a folder of ZONE.csv with the columns issued, time and
// grams_per_kwh, issues in order of time, each at equal steps. Prices of power are those of the configuration's zones, as long as
// the table is.
Result<scheduler::Trace> read_trace(const scheduler::Config& config, const std::string& table, const std::string& forecasts);

}  // namespace hyper::ctl
