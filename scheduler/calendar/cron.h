// SPDX-License-Identifier: Apache-2.0
// Five-field cron expressions, as Debian's cron reads them (crontab(5)):
//
//     minute 0-59   hour 0-23   day of month 1-31   month 1-12 or jan-dec   day of week 0-7 or sun-sat (0 and 7 are Sunday)
//
// Each field: *, numbers, ranges a-b, steps */n, a-b/n and a/n (from a to the end), lists of these. @hourly, @daily, @midnight, @weekly,
// @monthly, @yearly, @annually. If neither day of month nor day of week begins with '*', a day that matches one of them is enough.
// Not cron's, and refused with a word: six fields, L, W, #, ?, H, ranges that run backwards.
#pragma once

#include <string_view>

#include "scheduler/calendar/calendar_spec.h"

namespace hyper::scheduler {

// EINVAL with the field and what is wrong in it.
Result<CalendarSpec> parse_cron(std::string_view expression);

}  // namespace hyper::scheduler
