// SPDX-License-Identifier: Apache-2.0
#include "scheduler/calendar/duration.h"

#include <cerrno>

#include "scheduler/calendar/words.h"

namespace hyper::scheduler {
namespace {

struct Unit {
    char name;
    int64_t seconds;
};
constexpr Unit units[] = {{'w', 604800}, {'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
constexpr int64_t seconds_max = int64_t{3650} * 86400;

}  // namespace

Result<Seconds> parse_duration(std::string_view text) {
    auto bad = [&] { return fail(EINVAL, "\"{}\" is no length of time (try 90s, 15m, 18h, 2d or 1h30m)", text.substr(0, 32)); };
    int64_t sum = 0;
    std::string_view rest = text;
    if (rest.empty()) return bad();
    while (!rest.empty()) {
        size_t digits = rest.find_first_not_of("0123456789");
        auto number = parse_number(rest.substr(0, digits));
        if (!number || digits == rest.npos) return bad();
        const Unit* unit = nullptr;
        for (const Unit& one : units)
            if (one.name == rest[digits]) unit = &one;
        if (!unit) return bad();
        sum += *number * unit->seconds;
        if (sum > seconds_max) return fail(EINVAL, "\"{}\" is longer than ten years", text.substr(0, 32));
        rest.remove_prefix(digits + 1);
    }
    return Seconds(sum);
}

std::string duration_text(Seconds duration) {
    std::string text;
    int64_t left = duration.count();
    for (const Unit& unit : units) {
        if (left >= unit.seconds) text += fmt::format("{}{}", left / unit.seconds, unit.name);
        left %= unit.seconds;
    }
    return text.empty() ? "0s" : text;
}

Result<Elastic> parse_elastic(std::string_view text) {
    size_t dots = text.find("..");
    if (dots == text.npos) return fail(EINVAL, "\"{}\" is no range (try 18h..24h)", text.substr(0, 32));
    Elastic elastic{TRY(parse_duration(text.substr(0, dots))), TRY(parse_duration(text.substr(dots + 2)))};
    if (elastic.max <= elastic.min) return fail(EINVAL, "\"{}\": the second length is to be the longer one", text.substr(0, 32));
    return elastic;
}

}  // namespace hyper::scheduler
