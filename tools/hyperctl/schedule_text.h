// SPDX-License-Identifier: Apache-2.0
// Amounts of a schedule, for people.
#pragma once

#include <optional>
#include <string>

#include "carbon/energy.h"

namespace hyper::ctl {

// "12.3 g", "1.23 kg"; "-" where it is not known (NaN).
std::string grams_text(double grams);
// Its middle.
std::string grams_text(const std::optional<carbon::Estimate>& grams);

}  // namespace hyper::ctl
