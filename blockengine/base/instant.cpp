// SPDX-License-Identifier: Apache-2.0
#include "blockengine/base/instant.h"

#include <cerrno>

namespace hyper {
namespace {

// What is left of a text, taken from its front.
class Rest {
  public:
    explicit Rest(std::string_view text) : text_(text) {}

    bool empty() const { return text_.empty(); }

    bool take(char wanted) {
        if (text_.empty() || text_.front() != wanted) return false;
        text_.remove_prefix(1);
        return true;
    }

    // Exactly `digits` of them, or -1.
    int take_number(size_t digits) {
        if (text_.size() < digits) return -1;
        int number = 0;
        for (char c : text_.substr(0, digits)) {
            if (c < '0' || c > '9') return -1;
            number = number * 10 + (c - '0');
        }
        text_.remove_prefix(digits);
        return number;
    }

    void skip_digits() {
        while (!text_.empty() && text_.front() >= '0' && text_.front() <= '9') text_.remove_prefix(1);
    }

  private:
    std::string_view text_;
};

}  // namespace

Result<Instant> parse_instant(std::string_view text) {
    using namespace std::chrono;
    auto bad = [&] {
        return fail(EINVAL, "\"{}\" is no time (try 2026-01-31T23:59:00Z)", text.substr(0, 64));
    };
    Rest rest(text);
    int y = rest.take_number(4), hour = 0, minute = 0, second = 0;
    if (y < 0 || !rest.take('-')) return bad();
    int m = rest.take_number(2);
    if (m < 0 || !rest.take('-')) return bad();
    int d = rest.take_number(2);
    if (d < 0) return bad();
    year_month_day date{year(y), month(static_cast<unsigned>(m)), day(static_cast<unsigned>(d))};
    if (!date.ok()) return bad();
    int offset_minutes = 0;
    if (rest.take('T') || rest.take(' ')) {
        hour = rest.take_number(2);
        if (rest.take(':')) {
            minute = rest.take_number(2);
            if (rest.take(':')) {
                second = rest.take_number(2);
                if (rest.take('.')) rest.skip_digits();
            }
        }
        int sign = rest.take('+') ? 1 : rest.take('-') ? -1 : 0;
        if (sign != 0) {
            int hours = rest.take_number(2);
            rest.take(':');
            int minutes = rest.take_number(2);
            if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return bad();
            offset_minutes = sign * (hours * 60 + minutes);
        } else {
            rest.take('Z');
        }
    }
    if (!rest.empty() || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return bad();
    return sys_days(date) + hours(hour) + minutes(minute - offset_minutes) + seconds(second);
}

std::string instant_text(Instant instant) {
    using namespace std::chrono;
    auto midnight = floor<days>(instant);
    year_month_day date(midnight);
    hh_mm_ss time(instant - midnight);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", int(date.year()), unsigned(date.month()), unsigned(date.day()),
                       time.hours().count(), time.minutes().count(), time.seconds().count());
}

}  // namespace hyper
