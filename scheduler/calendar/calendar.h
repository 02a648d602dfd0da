// SPDX-License-Identifier: Apache-2.0
// When a job is due: a calendar in a time zone. Where clocks change (the rules of Debian's cron, cron(8)):
//
//   gap    a time that is skipped is due just after the gap, once however many of the calendar's times were skipped
//   fold   a time that comes twice is due the first time only
//   but    a calendar that names every hour ("30 * * * *") follows real time: nothing is due for a gap, and both hours of a fold count
#pragma once

#include <optional>
#include <string_view>

#include "scheduler/calendar/calendar_spec.h"

namespace hyper::scheduler {

class Calendar {
  public:
    Calendar(CalendarSpec spec, TimeZone zone) : spec_(std::move(spec)), zone_(std::move(zone)) {}

    // "OnCalendar=Mon..Fri 01:00", or a cron expression. `zone` is an IANA name; one in the expression itself must be the same.
    static Result<Calendar> parse(std::string_view expression, std::string_view zone);

    // The first time after `after`; nothing if there is none before the year 2200.
    std::optional<Instant> next(Instant after) const;
    const TimeZone& zone() const { return zone_; }

  private:
    CalendarSpec spec_;
    TimeZone zone_;
};

}  // namespace hyper::scheduler
