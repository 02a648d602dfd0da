// SPDX-License-Identifier: Apache-2.0
// The tables that are built in, as text: carbon/*.csv.
#pragma once

#include <string_view>

namespace hyper::carbon {

extern const std::string_view cloud_regions_csv;
extern const std::string_view energy_coefficients_csv;

}  // namespace hyper::carbon
