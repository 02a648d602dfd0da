// SPDX-License-Identifier: Apache-2.0
// Oracle's list of products: https://apexapps.oracle.com/pls/apex/cetools/api/v1/products/?currencyCode=USD. Prices are the same in all regions, but for egress,
// which has three parts of the world. A GB is taken as 10^9 bytes, since the list does not say what it is; so an estimate is rather too high.
#pragma once

#include <istream>
#include <string_view>

#include "scheduler/cost/import/feed_price.h"

namespace hyper::scheduler {

// The list has no day from which its prices hold but the one of its own last change; `effective` is for a file without that. EINVAL for what has no "items",
// or no day.
Result<void> import_oci(std::istream& in, std::string_view file, const std::string& effective, PriceCollector& into);

}  // namespace hyper::scheduler
