// SPDX-License-Identifier: Apache-2.0
// Calendar expressions as in systemd's OnCalendar= (systemd.time(7), "Calendar events"):
//
//     [WEEKDAYS] [[YEAR-]MONTH-DAY] [HOUR:MINUTE[:SECOND]] [ZONE]        Mon..Fri *-*-* 01:00 Europe/Berlin
//
// Each component: *, values, ranges a..b, steps a/n and a..b/n, lists of these; ~ for - before the day counts from the month's end.
// Also minutely, hourly, daily, weekly, monthly, quarterly, semiannually, yearly, annually. Not taken: fractions of a second, years of two digits.
#pragma once

#include <string>
#include <string_view>

#include "scheduler/calendar/calendar_spec.h"

namespace hyper::scheduler {

struct OnCalendar {
    CalendarSpec spec;
    std::string zone;  // empty if the expression names none
};

// EINVAL with the component and what is wrong in it.
Result<OnCalendar> parse_on_calendar(std::string_view expression);

}  // namespace hyper::scheduler
