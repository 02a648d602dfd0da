// SPDX-License-Identifier: Apache-2.0
// The figures of carbon-figures: each prints lines that bench/carbon-figures makes tables of.
#pragma once

#include <string>

#include "blockengine/base/result.h"

namespace hyper::figures {

// One compared number: "figure TAB name TAB expected TAB got TAB rule TAB pass"; `tolerance` is absolute.
void compare(int figure, const std::string& name, double expected, double got, double tolerance);
// At least that much.
void at_least(int figure, const std::string& name, double bar, double got);
// As information, without a bar.
void tell(int figure, const std::string& name, double got);

// `data` is the folder of unpacked traces.
Result<void> sukprasert_table(const std::string& data);
Result<void> sukprasert_hours(const std::string& data);
Result<void> lets_wait_awhile(const std::string& data);
Result<void> issued_forecasts(const std::string& data);
Result<void> failing_feeds(const std::string& data);

}  // namespace hyper::figures
