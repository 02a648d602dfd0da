// SPDX-License-Identifier: Apache-2.0
#include "scheduler/calendar/cron.h"

#include <cerrno>

#include "scheduler/calendar/words.h"

namespace hyper::scheduler {
namespace {

constexpr std::array<std::string_view, 7> names_from_sunday{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"};

struct Field {
    const char* name;
    int min, max;
    std::span<const std::string_view> names;  // the first is `names_first`
    int names_first;
};

const Field fields[] = {
    {"minute", 0, 59, {}, 0},
    {"hour", 0, 23, {}, 0},
    {"day of month", 1, 31, {}, 0},
    {"month", 1, 12, month_names, 1},
    {"day of week", 0, 7, names_from_sunday, 0},
};

struct Macro {
    std::string_view name, expression;
};
constexpr Macro macros[] = {
    {"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@weekly", "0 0 * * 0"},
    {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"},
};

Result<int> parse_value(const Field& field, std::string_view text) {
    auto value = parse_number(text);
    if (!value && text.size() == 3)
        if (auto name = parse_name(text, field.names)) value = *name + field.names_first;
    if (!value) {
        const char* hint = text.find_first_of("LW#?H") != text.npos ? "; L, W, #, ? and H are not cron's" : "";
        return fail(EINVAL, "{}: \"{}\" is no number{}", field.name, text, hint);
    }
    if (*value < field.min || *value > field.max) return fail(EINVAL, "{}: {} is not within {}..{}", field.name, *value, field.min, field.max);
    return *value;
}

// One part of a list, into `set`.
template <size_t size>
Result<void> parse_part(const Field& field, std::string_view part, std::bitset<size>& set) {
    size_t slash = part.find('/');
    std::string_view range = part.substr(0, slash);
    int step = 1, from = field.min, until = field.max;
    if (slash != part.npos) {
        step = parse_number(part.substr(slash + 1)).value_or(0);
        if (step < 1) return fail(EINVAL, "{}: \"{}\": the step is to be 1 or more", field.name, part);
    }
    if (range == "*") {
        if (field.max == 7) until = 6;
    } else {
        size_t dash = range.find('-');
        from = TRY(parse_value(field, range.substr(0, dash)));
        until = dash != range.npos ? TRY(parse_value(field, range.substr(dash + 1))) : slash != part.npos ? (field.max == 7 ? 6 : field.max) : from;
        if (until < from) return fail(EINVAL, "{}: \"{}\" runs backwards", field.name, part);
    }
    for (int value = from; value <= until; value += step) set[static_cast<size_t>(value)] = true;
    return {};
}

template <size_t size>
Result<std::bitset<size>> parse_field(const Field& field, std::string_view text) {
    std::bitset<size> set;
    for (std::string_view part : split(text, ',')) TRY(parse_part(field, part, set));
    return set;
}

Result<CalendarSpec> parse_fields(std::string_view expression) {
    auto words = split_words(expression);
    if (words.size() == 1)
        for (const Macro& macro : macros)
            if (words[0] == macro.name) words = split_words(macro.expression);
    if (words.size() != 5) return fail(EINVAL, "{} fields where cron has 5: minute, hour, day of month, month, day of week", words.size());
    CalendarSpec spec;
    spec.seconds[0] = true;
    spec.minutes = TRY(parse_field<60>(fields[0], words[0]));
    spec.hours = TRY(parse_field<24>(fields[1], words[1]));
    spec.days = TRY(parse_field<32>(fields[2], words[2]));
    spec.months = TRY(parse_field<13>(fields[3], words[3]));
    auto from_sunday = TRY(parse_field<8>(fields[4], words[4]));
    for (size_t day = 0; day < 8; day++)
        if (from_sunday[day]) spec.weekdays[(day + 6) % 7] = true;
    spec.either_day = words[2][0] != '*' && words[4][0] != '*';
    return spec;
}

}  // namespace

Result<CalendarSpec> parse_cron(std::string_view expression) {
    auto spec = parse_fields(expression);
    if (!spec) return fail(EINVAL, "cron \"{}\": {}", expression.substr(0, 128), spec.error().message);
    return spec;
}

}  // namespace hyper::scheduler
