// SPDX-License-Identifier: Apache-2.0
#include "scheduler/calendar/windows.h"

#include <algorithm>
#include <cerrno>

#include "scheduler/calendar/words.h"

namespace hyper::scheduler {
namespace {

using namespace std::chrono;

std::optional<int> parse_minute(std::string_view text) {
    size_t colon = text.find(':');
    if (colon == text.npos) return std::nullopt;
    auto hour = parse_number(text.substr(0, colon)), minute = parse_number(text.substr(colon + 1));
    if (!hour || !minute || *minute > 59 || *hour * 60 + *minute > 1440) return std::nullopt;
    return *hour * 60 + *minute;
}

Result<local_days> parse_day(std::string_view text) {
    if (text.size() != 10) return fail(EINVAL, "\"{}\" is no date (try 2026-12-24)", text);
    return local_days(floor<days>(TRY(parse_instant(text))).time_since_epoch());
}

Result<uint8_t> parse_days(std::string_view text) {
    unsigned set = 0;
    for (std::string_view part : split(text, ',')) {
        size_t dots = part.find("..");
        auto from = parse_name(part.substr(0, dots), weekday_names);
        auto until = dots == part.npos ? from : parse_name(part.substr(dots + 2), weekday_names);
        if (!from || !until) return fail(EINVAL, "\"{}\" is no weekday (try Mon, Mon..Fri or Sat,Sun)", part);
        for (int day = *from;; day = (day + 1) % 7) {
            set |= 1u << day;
            if (day == *until) break;
        }
    }
    return static_cast<uint8_t>(set);
}

Result<Window> parse_words(std::string_view text) {
    auto words = split_words(text);
    Window window;
    if (words.size() == 1 && words[0].find('/') != words[0].npos) {
        size_t slash = words[0].find('/');
        window.first_day = TRY(parse_day(words[0].substr(0, slash)));
        window.last_day = TRY(parse_day(words[0].substr(slash + 1)));
        if (*window.last_day < *window.first_day) return fail(EINVAL, "its last day is before its first");
        return window;
    }
    if (words.empty() || words.size() > 2) return fail(EINVAL, "is not of the form \"Mon..Fri 20:00-06:00\"");
    std::string_view time = words.back();
    if (words.size() == 2) window.weekdays = TRY(parse_days(words[0]));
    if (time == "*") return window;
    size_t dash = time.find('-');
    auto begin = parse_minute(time.substr(0, dash)), end = dash == time.npos ? std::nullopt : parse_minute(time.substr(dash + 1));
    if (!begin || !end || *begin == 1440) return fail(EINVAL, "\"{}\" is no range of times (try 20:00-06:00, or * for the whole day)", time);
    if (*begin == *end) return fail(EINVAL, "\"{}\" is empty (write * for the whole day)", time);
    window.begin_minute = *begin;
    window.end_minute = *end < *begin ? *end + 1440 : *end;
    return window;
}

}  // namespace

Result<Window> parse_window(std::string_view text) {
    auto window = parse_words(text);
    if (!window) return fail(EINVAL, "window \"{}\": {}", text.substr(0, 64), window.error().message);
    return window;
}

Result<Windows> Windows::parse(std::span<const std::string> allow, std::span<const std::string> deny, TimeZone zone) {
    Windows windows;
    windows.zone_ = std::move(zone);
    for (const std::string& text : allow) windows.allow_.push_back(TRY(parse_window(text)));
    for (const std::string& text : deny) windows.deny_.push_back(TRY(parse_window(text)));
    return windows;
}

std::optional<TimeRange> Windows::on_day(const Window& window, local_days day) const {
    if (window.first_day && (day < *window.first_day || day > *window.last_day)) return std::nullopt;
    if (!(window.weekdays >> (weekday(day).iso_encoding() - 1) & 1)) return std::nullopt;
    return TimeRange{zone_.instant(day + minutes(window.begin_minute)), zone_.instant(day + minutes(window.end_minute))};
}

bool Windows::covered(const std::vector<Window>& windows, Instant instant) const {
    local_days today = floor<days>(zone_.period(instant).local(instant));
    for (const Window& window : windows)
        // Over midnight it began yesterday; where clocks change at midnight, tomorrow may have begun.
        for (local_days day : {today - days(1), today, today + days(1)})
            if (auto stretch = on_day(window, day); stretch && stretch->from <= instant && instant < stretch->until) return true;
    return false;
}

bool Windows::open(Instant instant) const {
    return (allow_.empty() || covered(allow_, instant)) && !covered(deny_, instant);
}

std::optional<Instant> Windows::next_change(Instant after, days look_ahead) const {
    bool now = open(after);
    local_days today = floor<days>(zone_.period(after).local(after));
    for (local_days day = today - days(1); day <= today + look_ahead; day += days(1)) {
        std::vector<Instant> bounds;
        for (const auto* windows : {&allow_, &deny_})
            for (const Window& window : *windows)
                if (auto stretch = on_day(window, day)) bounds.insert(bounds.end(), {stretch->from, stretch->until});
        // Those of the next day may come before the end of one that goes over midnight, but then they are looked at again.
        std::sort(bounds.begin(), bounds.end());
        for (Instant bound : bounds)
            if (bound > after && open(bound) != now) {
                auto earlier = std::optional<Instant>();
                for (const auto* windows : {&allow_, &deny_})
                    for (const Window& window : *windows)
                        if (auto stretch = on_day(window, day + days(1)))
                            for (Instant other : {stretch->from, stretch->until})
                                if (other > after && other < bound && open(other) != now && (!earlier || other < *earlier)) earlier = other;
                return earlier ? earlier : bound;
            }
    }
    return std::nullopt;
}

std::optional<Instant> Windows::next_open(Instant from) const {
    if (open(from)) return from;
    return next_change(from);
}

// All of the windows that touch [from, until), joined where they meet.
std::vector<TimeRange> Windows::stretches(const std::vector<Window>& windows, Instant from, Instant until) const {
    std::vector<TimeRange> all, joined;
    local_days first = floor<days>(zone_.period(from).local(from)), last = floor<days>(zone_.period(until).local(until));
    for (const Window& window : windows)
        for (local_days day = first - days(1); day <= last + days(1); day += days(1))
            if (auto stretch = on_day(window, day); stretch && stretch->from < until && stretch->until > from && stretch->from < stretch->until)
                all.push_back({std::max(from, stretch->from), std::min(until, stretch->until)});
    std::sort(all.begin(), all.end(), [](const TimeRange& a, const TimeRange& b) { return a.from < b.from; });
    for (const TimeRange& stretch : all) {
        if (!joined.empty() && stretch.from <= joined.back().until)
            joined.back().until = std::max(joined.back().until, stretch.until);
        else
            joined.push_back(stretch);
    }
    return joined;
}

std::vector<TimeRange> Windows::open_times(Instant from, Instant until) const {
    if (from >= until) return {};
    auto allowed = allow_.empty() ? std::vector<TimeRange>{{from, until}} : stretches(allow_, from, until);
    auto denied = stretches(deny_, from, until);
    std::vector<TimeRange> open;
    for (TimeRange rest : allowed) {
        for (const TimeRange& no : denied) {
            if (no.until <= rest.from || no.from >= rest.until) continue;
            if (no.from > rest.from) open.push_back({rest.from, no.from});
            rest.from = std::min(no.until, rest.until);
        }
        if (rest.from < rest.until) open.push_back(rest);
    }
    return open;
}

}  // namespace hyper::scheduler
