// SPDX-License-Identifier: Apache-2.0
#include "scheduler/calendar/time_zone.h"

#include <date/tz.h>

#include <algorithm>
#include <cerrno>

namespace hyper::scheduler {
namespace {

// tzdata's first and last period have no end; four-digit years are enough.
const Instant first = std::chrono::sys_days(std::chrono::year(1800) / 1 / 1), last = std::chrono::sys_days(std::chrono::year(9999) / 1 / 1);

}  // namespace

Result<TimeZone> TimeZone::find(std::string_view name) {
    TimeZone zone;
    zone.name_ = name;
    // The library looks for a file of that name: nothing may lead elsewhere.
    bool plain = !name.empty() && name.front() != '/' && name.find("..") == std::string_view::npos && name.size() < 64;
    try {
        if (plain) zone.zone_ = date::locate_zone(zone.name_);
    } catch (const std::exception&) {
    }
    if (!zone.zone_) return fail(EINVAL, "time zone \"{}\" is not known (try an IANA name such as Europe/Berlin)", name.substr(0, 64));
    return zone;
}

TimeZone TimeZone::utc() {
    TimeZone zone;
    zone.name_ = "UTC";
    return zone;
}

Period TimeZone::period(Instant instant) const {
    if (!zone_) return {first, last, Seconds(0)};
    auto info = static_cast<const date::time_zone*>(zone_)->get_info(instant);
    return {std::max(first, Instant(info.begin.time_since_epoch())), std::min(last, Instant(info.end.time_since_epoch())), info.offset};
}

Instant TimeZone::instant(Local local) const {
    // No offset is more than a day; the first period that holds the time, or begins after it, has it.
    Instant guess = Instant(local.time_since_epoch());
    for (Period now = period(std::max(first, guess - std::chrono::hours(26)));; now = period(now.until)) {
        if (now.until == last || local < now.local(now.until)) return std::max(now.from, now.instant(local));
    }
}

}  // namespace hyper::scheduler
