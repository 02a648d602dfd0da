// SPDX-License-Identifier: Apache-2.0
#include "tools/hyperctl/schedule_text.h"

#include <fmt/format.h>

#include <cmath>

namespace hyper::ctl {

std::string grams_text(double grams) {
    if (std::isnan(grams)) return "-";
    if (std::abs(grams) >= 1000) return fmt::format("{:.2f} kg", grams / 1000);
    return fmt::format("{:.{}f} g", grams, std::abs(grams) < 10 ? 2 : 1);
}

std::string grams_text(const std::optional<carbon::Estimate>& grams) {
    return grams_text(grams ? grams->middle : NAN);
}

}  // namespace hyper::ctl
