// SPDX-License-Identifier: Apache-2.0
// Prices of electricity by the hour, as services publish them, made rows of a power file (scheduler/cost/power.h):
//
//     Octopus Agile    /v1/products/P/electricity-tariffs/T/standard-unit-rates/: half-hours, pence with VAT
//     Energy-Charts    /price?bzn=DE-LU: day-ahead, EUR/MWh, without taxes and fees
#pragma once

#include <istream>
#include <string>
#include <string_view>
#include <vector>

#include "blockengine/base/instant.h"
#include "scheduler/cost/money.h"

namespace hyper::scheduler {

struct PowerStep {
    Instant from, until;
    Money price;  // a kWh
};

struct PowerFeed {
    std::string currency = {}, source = {};
    std::vector<PowerStep> steps = {};  // by time
    uint64_t gaps = 0;                 // that the feed has no price for
};

// EINVAL with what is wrong, also for another unit than the one above.
Result<PowerFeed> read_octopus(std::istream& in, std::string_view file);
Result<PowerFeed> read_energy_charts(std::istream& in, std::string_view file);

std::string power_csv_header();
std::string power_csv_rows(const PowerFeed& feed, const std::string& tariff);

}  // namespace hyper::scheduler
