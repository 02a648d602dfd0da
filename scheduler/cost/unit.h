// SPDX-License-Identifier: Apache-2.0
// What prices are for. Quantities are whole numbers of a base unit (bytes, byte-hours, requests, watt-hours, hours), so that nothing is rounded
// before it is money; a GB is 10^9 bytes and a GiB 2^30, and which of them a vendor means stands in its price file.
#pragma once

#include <cstdint>
#include <string_view>

#include "blockengine/base/result.h"

namespace hyper::scheduler {

struct Unit {
    std::string_view name;  // as in price files
    std::string_view base;  // what its quantities are counted in
    int64_t base_per_unit;
};

// GB, GiB, TB, TiB; GB-month, GiB-month (of 730 hours), GB-hour, GiB-hour, GB-day, GiB-day; request, 1k requests, 10k requests, 1M requests; hour; kWh, MWh. EINVAL
// for others, with the list.
Result<Unit> find_unit(std::string_view name);

}  // namespace hyper::scheduler
