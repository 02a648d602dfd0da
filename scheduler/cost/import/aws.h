// SPDX-License-Identifier: Apache-2.0
// AWS's bulk price files: https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/SERVICE/current/REGION/index.json of the services AmazonEC2 (snapshots and
// the block API of EBS), AmazonS3 and AWSDataTransfer. They have hundreds of megabytes, so nothing is held but the SKUs that are wanted.
// AWS counts stored bytes in GiB and calls them GB, as its user guides say; sent bytes are taken in GB.
#pragma once

#include <istream>
#include <string_view>

#include "scheduler/cost/import/feed_price.h"

namespace hyper::scheduler {

// On-demand prices only. EINVAL for what is no such file.
Result<void> import_aws(std::istream& in, std::string_view file, PriceCollector& into);

}  // namespace hyper::scheduler
