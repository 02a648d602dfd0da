// SPDX-License-Identifier: Apache-2.0
// When a job may run: windows that allow, and windows that deny, which win. Without any that allow, all that is not denied is allowed.
//
//     Mon..Fri 20:00-06:00        weekdays are those on which a window begins; this one goes over midnight
//     Sat,Sun *                   whole days
//     22:00-02:00                 every day
//     2026-12-24/2027-01-02       from the beginning of the first day to the end of the last
//
// Wall-clock times are those of the zone. A bound that falls into a gap is just after it, one that comes twice the first.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "scheduler/calendar/time_zone.h"

namespace hyper::scheduler {

struct Window {
    uint8_t weekdays = 0x7f;  // bit 0 is Monday
    int begin_minute = 0;     // of the day
    int end_minute = 1440;    // after begin; beyond 1440 it is the next day's
    // Of a range of dates; both of them, or none.
    std::optional<std::chrono::local_days> first_day, last_day;
};

// EINVAL with what is wrong.
Result<Window> parse_window(std::string_view text);

class Windows {
  public:
    static Result<Windows> parse(std::span<const std::string> allow, std::span<const std::string> deny, TimeZone zone);

    bool open(Instant instant) const;
    // When open() next becomes something else; nothing if that is more than `look_ahead` away.
    std::optional<Instant> next_change(Instant after, std::chrono::days look_ahead = std::chrono::days(400)) const;
    // The first moment from `from` on at which it is open.
    std::optional<Instant> next_open(Instant from) const;
    // All of [from, until) in which it is open, in order and apart: made once for a policy, for what asks often.
    std::vector<TimeRange> open_times(Instant from, Instant until) const;

  private:
    std::vector<TimeRange> stretches(const std::vector<Window>& windows, Instant from, Instant until) const;
    std::optional<TimeRange> on_day(const Window& window, std::chrono::local_days day) const;
    bool covered(const std::vector<Window>& windows, Instant instant) const;

    TimeZone zone_;
    std::vector<Window> allow_, deny_;
};

}  // namespace hyper::scheduler
