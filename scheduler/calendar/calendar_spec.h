// SPDX-License-Identifier: Apache-2.0
// Which wall-clock times a calendar names; without a zone. What cron and OnCalendar expressions become.
#pragma once

#include <bitset>
#include <optional>
#include <vector>

#include "scheduler/calendar/time_zone.h"

namespace hyper::scheduler {

struct CalendarSpec {
    std::bitset<60> seconds, minutes;
    std::bitset<24> hours;
    std::bitset<32> days;                    // of the month, from 1
    std::bitset<32> days_from_end;           // 1 is the month's last day
    std::bitset<13> months;                  // from 1
    std::bitset<7> weekdays;                 // 0 is Monday
    std::optional<std::vector<bool>> years;  // from year_first; nothing for every year
    // cron: where day and weekday are both restricted, one of them is enough.
    bool either_day = false;

    static constexpr int year_first = 1970, year_last = 2199;

    // The first time after `after`; nothing if there is none before the year 2200.
    std::optional<Local> next(Local after) const;
    // Whether it names every hour of its days: then it follows real time where clocks change.
    bool every_hour() const { return hours.all(); }

  private:
    bool matches(std::chrono::local_days day) const;
};

}  // namespace hyper::scheduler
