// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost/unit.h"

#include <cerrno>

#include "blockengine/base/bytes.h"

namespace hyper::scheduler {
namespace {

constexpr int64_t GB = 1'000'000'000, gib = int64_t(GiB), month_hours = 730;

constexpr Unit units[] = {
    {"GB", "byte", GB},
    {"GiB", "byte", gib},
    {"TB", "byte", 1000 * GB},
    {"TiB", "byte", 1024 * gib},
    {"GB-month", "byte-hour", GB* month_hours},
    {"GiB-month", "byte-hour", gib* month_hours},
    {"GB-day", "byte-hour", GB * 24},
    {"GiB-day", "byte-hour", gib * 24},
    {"GB-hour", "byte-hour", GB},
    {"GiB-hour", "byte-hour", gib},
    {"request", "request", 1},
    {"1k requests", "request", 1000},
    {"10k requests", "request", 10'000},
    {"1M requests", "request", 1'000'000},
    {"hour", "hour", 1},
    {"kWh", "watt-hour", 1000},
    {"MWh", "watt-hour", 1'000'000},
};

}  // namespace

Result<Unit> find_unit(std::string_view name) {
    std::string known;
    for (const Unit& unit : units) {
        if (unit.name == name) return unit;
        known += (known.empty() ? "" : ", ") + std::string(unit.name);
    }
    return fail(EINVAL, "unit \"{}\" is not known (there are {})", name.substr(0, 32), known);
}

}  // namespace hyper::scheduler
