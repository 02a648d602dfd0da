// SPDX-License-Identifier: Apache-2.0
// Azure's Retail Prices, a page a file: https://prices.azure.com/api/retail/prices?$filter=armRegionName eq 'eastus2' and (serviceName eq 'Storage' or serviceName eq
// 'Bandwidth'). Wanted are snapshots of managed disks, block blobs with LRS, and the bandwidth of Microsoft's own network, at pay-as-you-go.
// A GB is taken as 10^9 bytes, since the feed does not say what it is; so an estimate is rather too high.
#pragma once

#include <istream>
#include <string_view>

#include "scheduler/cost/import/feed_price.h"

namespace hyper::scheduler {

// EINVAL for what has no "Items".
Result<void> import_azure(std::istream& in, std::string_view file, PriceCollector& into);

}  // namespace hyper::scheduler
