// SPDX-License-Identifier: Apache-2.0
#include "carbon/feeds/call_limit.h"

#include <cerrno>
#include <charconv>

#include "blockengine/volume/small_file.h"

namespace hyper::carbon {
namespace {

using namespace std::chrono;

struct MonthCount {
    std::string month;  // "2026-11"
    uint32_t calls = 0;
};

year_month month_of(Instant instant) {
    year_month_day day(floor<days>(instant));
    return day.year() / day.month();
}

Result<MonthCount> read_count(const std::string& file) {
    auto text = read_small_file(file);
    if (!text && text.error().code == ENOENT) return MonthCount{};
    if (!text) return tl::unexpected(text.error());
    MonthCount count;
    size_t space = text->find(' ');
    if (space != 7) return fail(EBADMSG, "{}: holds no month and number of calls: remove it", file);
    count.month = text->substr(0, space);
    auto [end, error] = std::from_chars(text->data() + space + 1, text->data() + text->size(), count.calls);
    if (error != std::errc() || std::string_view(end, text->data() + text->size()) != "\n")
        return fail(EBADMSG, "{}: holds no month and number of calls: remove it", file);
    return count;
}

}  // namespace

Result<Instant> CallLimit::take(Instant now) {
    while (!last_minute_.empty() && (last_minute_.front() + minutes(1) <= now || last_minute_.front() > now)) last_minute_.pop_front();
    if (per_minute_ > 0 && last_minute_.size() >= per_minute_) return last_minute_.front() + minutes(1);
    if (per_month_ > 0) {
        MonthCount count = TRY(read_count(file_));
        year_month month = month_of(now);
        std::string name = instant_text(now).substr(0, 7);
        if (count.month != name) count = {name, 0};
        if (count.calls >= per_month_) return Instant(sys_days((month + months(1)) / 1));
        TRY(write_small_file(file_, fmt::format("{} {}\n", name, count.calls + 1)));
    }
    if (per_minute_ > 0) last_minute_.push_back(now);
    return now;
}

}  // namespace hyper::carbon
