// SPDX-License-Identifier: Apache-2.0
#include "scheduler/calendar/on_calendar.h"

#include <cerrno>

#include "scheduler/calendar/words.h"

namespace hyper::scheduler {
namespace {

struct Shorthand {
    std::string_view name, expression;
};
constexpr Shorthand shorthands[] = {
    {"minutely", "*-*-* *:*:00"},
    {"hourly", "*-*-* *:00:00"},
    {"daily", "*-*-* 00:00:00"},
    {"weekly", "Mon *-*-* 00:00:00"},
    {"monthly", "*-*-01 00:00:00"},
    {"quarterly", "*-01,04,07,10-01 00:00:00"},
    {"semiannually", "*-01,07-01 00:00:00"},
    {"yearly", "*-01-01 00:00:00"},
    {"annually", "*-01-01 00:00:00"},
};

struct Component {
    const char* name;
    int min, max;
};

Result<int> parse_value(const Component& component, std::string_view text) {
    auto value = parse_number(text);
    if (!value) return fail(EINVAL, "{}: \"{}\" is no number", component.name, text);
    if (*value < component.min || *value > component.max)
        return fail(EINVAL, "{}: {} is not within {}..{}", component.name, *value, component.min, component.max);
    return *value;
}

// Calls set(value) for each value of a list.
template <class Set>
Result<void> parse_component(const Component& component, std::string_view text, Set set) {
    for (std::string_view part : split(text, ',')) {
        int from = component.min, until = component.max, step = 1;
        if (part != "*") {
            size_t slash = part.find('/');
            std::string_view range = part.substr(0, slash);
            size_t dots = range.find("..");
            if (slash != part.npos) {
                step = parse_number(part.substr(slash + 1)).value_or(0);
                if (step < 1) return fail(EINVAL, "{}: \"{}\": the step is to be 1 or more", component.name, part);
                if (range == "*") return fail(EINVAL, "{}: \"{}\": write {}/{}", component.name, part, component.min, step);
            }
            from = TRY(parse_value(component, range.substr(0, dots)));
            until = dots != range.npos ? TRY(parse_value(component, range.substr(dots + 2))) : slash != part.npos ? component.max : from;
            if (until < from) return fail(EINVAL, "{}: \"{}\" runs backwards", component.name, part);
        }
        for (int value = from; value <= until; value += step) set(static_cast<size_t>(value));
    }
    return {};
}

template <size_t size>
auto into(std::bitset<size>& set) {
    return [&set](size_t value) { set[value] = true; };
}

bool is_weekdays(std::string_view word) {
    return (word[0] >= 'A' && word[0] <= 'Z') || (word[0] >= 'a' && word[0] <= 'z')
               ? parse_name(word.substr(0, word.find_first_of(",.")), weekday_names).has_value()
               : false;
}

Result<void> parse_weekdays(std::string_view word, CalendarSpec& spec) {
    for (std::string_view part : split(word, ',')) {
        size_t dots = part.find("..");
        auto from = parse_name(part.substr(0, dots), weekday_names);
        auto until = dots == part.npos ? from : parse_name(part.substr(dots + 2), weekday_names);
        if (!from || !until) return fail(EINVAL, "weekday: \"{}\" is none (try Mon, Mon..Fri or Sat,Sun)", part);
        if (*until < *from) return fail(EINVAL, "weekday: \"{}\" runs backwards; a week begins with Monday", part);
        for (int day = *from; day <= *until; day++) spec.weekdays[static_cast<size_t>(day)] = true;
    }
    return {};
}

Result<void> parse_date(std::string_view word, CalendarSpec& spec) {
    size_t tilde = word.find('~');
    std::string_view head = word.substr(0, tilde == word.npos ? word.rfind('-') : tilde);
    std::string_view day = word.substr(head.size() + 1);
    auto parts = split(head, '-');
    if (parts.size() > 2) return fail(EINVAL, "date: \"{}\" has too many parts", word);
    if (parts.size() == 2 && parts[0] != "*") {
        spec.years.emplace(static_cast<size_t>(CalendarSpec::year_last - CalendarSpec::year_first + 1));
        TRY(parse_component({"year", CalendarSpec::year_first, CalendarSpec::year_last}, parts[0],
                            [&](size_t year) { (*spec.years)[year - CalendarSpec::year_first] = true; }));
    }
    TRY(parse_component({"month", 1, 12}, parts.back(), into(spec.months)));
    if (tilde == word.npos) return parse_component({"day", 1, 31}, day, into(spec.days));
    // "~07/2" is the seventh day before the month's end and every second day after it.
    for (std::string_view part : split(day, ',')) {
        size_t slash = part.find('/');
        int from = TRY(parse_value({"day from the month's end", 1, 31}, part.substr(0, slash)));
        int step = slash == part.npos ? 31 : parse_number(part.substr(slash + 1)).value_or(0);
        if (step < 1) return fail(EINVAL, "day: \"{}\": the step is to be 1 or more", part);
        for (int value = from; value >= 1; value -= step) spec.days_from_end[static_cast<size_t>(value)] = true;
    }
    return {};
}

Result<void> parse_time(std::string_view word, CalendarSpec& spec) {
    auto parts = split(word, ':');
    if (parts.size() > 3) return fail(EINVAL, "time: \"{}\" has too many parts", word);
    TRY(parse_component({"hour", 0, 23}, parts[0], into(spec.hours)));
    TRY(parse_component({"minute", 0, 59}, parts[1], into(spec.minutes)));
    if (parts.size() == 3) return parse_component({"second", 0, 59}, parts[2], into(spec.seconds));
    spec.seconds[0] = true;
    return {};
}

Result<OnCalendar> parse_words(std::string_view expression) {
    auto words = split_words(expression);
    if (words.empty()) return fail(EINVAL, "is empty");
    OnCalendar made;
    std::string whole(expression);
    for (const Shorthand& shorthand : shorthands)
        if (words[0] == shorthand.name) {
            whole = shorthand.expression;
            if (words.size() > 1) whole += " " + std::string(words[1]);
            if (words.size() > 2) return fail(EINVAL, "\"{}\" is too much", words[2]);
            words = split_words(whole);
            break;
        }
    size_t at = 0;
    CalendarSpec& spec = made.spec;
    auto is_date = [](std::string_view word) {
        return word.find(':') == word.npos && (word.find('-') != word.npos || word.find('~') != word.npos) && word.find('/') != 0 &&
               (word[0] == '*' || (word[0] >= '0' && word[0] <= '9'));
    };
    bool weekdays = at < words.size() && is_weekdays(words[at]);
    if (weekdays) TRY(parse_weekdays(words[at++], spec));
    if (!weekdays) spec.weekdays.set();
    bool date = at < words.size() && is_date(words[at]);
    if (date) TRY(parse_date(words[at++], spec));
    bool time = at < words.size() && words[at].find(':') != std::string_view::npos;
    if (time) TRY(parse_time(words[at++], spec));
    if (!weekdays && !date && !time) return fail(EINVAL, "\"{}\" is neither weekdays, a date nor a time", words[at]);
    if (!date) spec.months.set(), spec.days.set();
    if (!time) spec.hours[0] = spec.minutes[0] = spec.seconds[0] = true;
    if (at < words.size()) made.zone = words[at++];
    if (at < words.size()) return fail(EINVAL, "\"{}\" is too much", words[at]);
    return made;
}

}  // namespace

Result<OnCalendar> parse_on_calendar(std::string_view expression) {
    auto made = parse_words(expression);
    if (!made) return fail(EINVAL, "OnCalendar \"{}\": {}", expression.substr(0, 128), made.error().message);
    return made;
}

}  // namespace hyper::scheduler
