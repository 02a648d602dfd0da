// SPDX-License-Identifier: Apache-2.0
// Instants: seconds of UTC since 1970, without leap seconds. Local time is scheduler/calendar's business alone.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "blockengine/base/result.h"

namespace hyper {

using Instant = std::chrono::sys_seconds;
using Seconds = std::chrono::seconds;

// From `from` on, until before `until`.
struct TimeRange {
    Instant from, until;
    bool operator==(const TimeRange&) const = default;
};

// Reads RFC 3339 and the shorter forms that feeds use: "2022-01-01T00:00:00Z", "2022-01-01 00:00", "2022-01-01T00Z",
// "2022-01-01T02:00:00.000+02:00". Without an offset it is UTC. EINVAL for anything else, also for 2022-02-30.
Result<Instant> parse_instant(std::string_view text);

// "2022-01-01T00:00:00Z".
std::string instant_text(Instant instant);

}  // namespace hyper
