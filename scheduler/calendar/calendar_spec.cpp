// SPDX-License-Identifier: Apache-2.0
#include "scheduler/calendar/calendar_spec.h"

namespace hyper::scheduler {

using namespace std::chrono;

bool CalendarSpec::matches(local_days local_day) const {
    year_month_day date(local_day);
    int y = int(date.year());
    if (!months[unsigned(date.month())]) return false;
    if (years && !(*years)[static_cast<size_t>(y - year_first)]) return false;
    unsigned last_day = unsigned(year_month_day_last(date.year(), month_day_last(date.month())).day());
    unsigned d = unsigned(date.day());
    bool by_day = days[d] || days_from_end[last_day - d + 1];
    bool by_weekday = weekdays[weekday(local_day).iso_encoding() - 1];
    return either_day ? by_day || by_weekday : by_day && by_weekday;
}

std::optional<Local> CalendarSpec::next(Local after) const {
    Local from = after + std::chrono::seconds(1);
    const local_days first = local_days(year(year_first) / 1 / 1), end = local_days(year(year_last + 1) / 1 / 1);
    if (from < first) from = first;
    for (local_days day = floor<std::chrono::days>(from); day < end; day += std::chrono::days(1)) {
        year_month_day date(day);
        if (!months[unsigned(date.month())]) {  // to the month's last day
            day = local_days(date.year() / date.month() / last);
            continue;
        }
        if (!matches(day)) continue;
        long start = from > day ? (from - Local(day)).count() : 0;
        for (long hour = start / 3600; hour < 24; hour++) {
            if (!hours[static_cast<size_t>(hour)]) continue;
            long minute = hour == start / 3600 ? start / 60 % 60 : 0;
            for (; minute < 60; minute++) {
                if (!minutes[static_cast<size_t>(minute)]) continue;
                long second = std::max(0l, start - hour * 3600 - minute * 60);
                for (; second < 60; second++)
                    if (seconds[static_cast<size_t>(second)]) return Local(day) + std::chrono::seconds(hour * 3600 + minute * 60 + second);
            }
        }
    }
    return std::nullopt;
}

}  // namespace hyper::scheduler
