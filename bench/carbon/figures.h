// SPDX-License-Identifier: Apache-2.0
// The figures of carbon-figures.
#pragma once

#include <string>

#include "bench/figure_lines.h"
#include "blockengine/base/result.h"

namespace hyper::figures {

// `data` is the folder of unpacked traces.
Result<void> sukprasert_table(const std::string& data);
Result<void> sukprasert_hours(const std::string& data);
Result<void> lets_wait_awhile(const std::string& data);
Result<void> issued_forecasts(const std::string& data);
Result<void> failing_feeds(const std::string& data);

}  // namespace hyper::figures
