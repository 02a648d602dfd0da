// SPDX-License-Identifier: Apache-2.0
// Google's Cloud Billing Catalog, a page of SKUs a file: https://cloudbilling.googleapis.com/v1/services/SERVICE/skus of Cloud Storage and Compute Engine.
// Wanted are regional storage classes with their operations and retrieval, downloads to most of the world, and snapshots of disks.
#pragma once

#include <istream>
#include <string_view>

#include "scheduler/cost/import/feed_price.h"

namespace hyper::scheduler {

// EINVAL for what has no "skus".
Result<void> import_gcp(std::istream& in, std::string_view file, PriceCollector& into);

}  // namespace hyper::scheduler
