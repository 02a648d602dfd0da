// SPDX-License-Identifier: Apache-2.0
// Lengths of time as people write them, and schedules that name no hour.
#pragma once

#include <string>
#include <string_view>

#include "blockengine/base/instant.h"

namespace hyper::scheduler {

// "90s", "15m", "18h", "2d", "1w", and sums of these: "1h30m". EINVAL for anything else; ten years at most.
Result<Seconds> parse_duration(std::string_view text);
// "1h30m".
std::string duration_text(Seconds duration);

// "18h..24h": a run ends between so long and so long after the last one did. Any time in between will do, which is
// what the planner chooses from.
struct Elastic {
    Seconds min, max;

    Instant earliest(Instant last) const { return last + min; }
    Instant latest(Instant last) const { return last + max; }
};
Result<Elastic> parse_elastic(std::string_view text);

}  // namespace hyper::scheduler
