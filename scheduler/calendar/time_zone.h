// SPDX-License-Identifier: Apache-2.0
// IANA time zones, from the system's tzdata. Howard Hinnant's date library is included in time_zone.cpp alone (this compiler's
// own <chrono> has no zones yet). Thread-safe.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "blockengine/base/instant.h"

namespace hyper::scheduler {

// Wall-clock seconds in some zone.
using Local = std::chrono::local_seconds;

// A stretch of time over which a zone's offset from UTC is the same.
struct Period {
    Instant from, until;  // until: not in it; years away where the offset does not change
    Seconds offset{};     // local = UTC + offset

    Local local(Instant instant) const { return Local((instant + offset).time_since_epoch()); }
    Instant instant(Local local) const { return Instant(local.time_since_epoch()) - offset; }
};

class TimeZone {
  public:
    // "Europe/Berlin", "UTC". EINVAL for what tzdata does not know.
    static Result<TimeZone> find(std::string_view name);
    static TimeZone utc();

    const std::string& name() const { return name_; }
    Period period(Instant instant) const;
    // When that wall-clock time is: where it is skipped, the moment just after the gap; where it comes twice, the first.
    Instant instant(Local local) const;

  private:
    std::string name_;
    const void* zone_ = nullptr;  // a date::time_zone, which lives as long as the process
};

}  // namespace hyper::scheduler
