// SPDX-License-Identifier: Apache-2.0
#include "scheduler/calendar/calendar.h"

#include <algorithm>
#include <cerrno>

#include "scheduler/calendar/cron.h"
#include "scheduler/calendar/on_calendar.h"

namespace hyper::scheduler {

Result<Calendar> Calendar::parse(std::string_view expression, std::string_view zone) {
    constexpr std::string_view prefix = "OnCalendar=";
    if (!expression.starts_with(prefix)) return Calendar(TRY(parse_cron(expression)), TRY(TimeZone::find(zone)));
    OnCalendar made = TRY(parse_on_calendar(expression.substr(prefix.size())));
    if (!made.zone.empty() && !zone.empty() && made.zone != zone)
        return fail(EINVAL, "\"{}\" has its own time zone, and timezone = \"{}\" is another", expression.substr(0, 128), zone);
    return Calendar(std::move(made.spec), TRY(TimeZone::find(made.zone.empty() ? zone : made.zone)));
}

std::optional<Instant> Calendar::next(Instant after) const {
    constexpr Seconds second{1};
    Period period = zone_.period(after);
    Local from = period.local(after);
    if (!spec_.every_hour()) {
        // Within the second turn of a fold: what it repeats was due in the first.
        Local before = zone_.period(period.from - second).local(period.from);
        from = std::max(from, before - second);
    }
    while (true) {
        auto due = spec_.next(from);
        if (!due) return std::nullopt;
        Local end = period.local(period.until);
        if (*due < end) return period.instant(*due);
        Period following = zone_.period(period.until);
        if (following.from <= period.from) return std::nullopt;
        Local begin = following.local(following.from);
        if (spec_.every_hour())
            from = begin - second;
        else if (*due < begin)
            return following.from;
        else
            from = std::max(begin, end) - second;
        period = following;
    }
}

}  // namespace hyper::scheduler
