// SPDX-License-Identifier: Apache-2.0
// Grid zones, by the ids of Electricity Maps, and which of them a cloud's region draws from.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "blockengine/base/result.h"

namespace hyper::carbon {

struct Zone {
    std::string id;           // today's
    std::string mapped_from;  // the name that was given, where it is another; to be shown
};

// Takes an id ("DE", "US-CAL-CISO"), one of the four old names that the service no longer knows (AUS-NSW, CN-BJ, CN-SH, US-MISO), or a cloud's
// region as VENDOR:REGION ("aws:eu-central-1"). EINVAL, with what is near, for a region that is not in the table and for what is
// no id; whether a service knows an id, only the service can say.
Result<Zone> find_zone(std::string_view name);

// The table: cloud-regions.csv, which is built in. Vendors are aws, azure, gcp, oci and alibaba.
struct CloudRegion {
    std::string vendor, region, place, zone;
};
const std::vector<CloudRegion>& cloud_regions();

// The twelve zones that configurations of the first version may name.
const std::vector<std::string_view>& first_zones();

}  // namespace hyper::carbon
