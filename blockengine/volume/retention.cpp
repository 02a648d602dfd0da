// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/retention.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <numeric>
#include <optional>

namespace hyper {

namespace {

using std::chrono::days;
using std::chrono::sys_days;

// Which period a time is in, as a number that differs between neighbouring periods.
using PeriodOf = int64_t (*)(int64_t time_s);

int64_t divide_down(int64_t value, int64_t unit) {
    return value / unit - (value % unit < 0);
}

std::chrono::year_month_day date_of(int64_t time_s) {
    return sys_days(days(divide_down(time_s, 86400)));
}

int64_t itself(int64_t) {
    return 0;
}
int64_t hour_of(int64_t time_s) {
    return divide_down(time_s, 3600);
}
int64_t day_of(int64_t time_s) {
    return divide_down(time_s, 86400);
}
// 1970-01-01 was a Thursday: its week began three days before. Weeks do not end with the year.
int64_t week_of(int64_t time_s) {
    return divide_down(day_of(time_s) + 3, 7);
}
int64_t month_of(int64_t time_s) {
    auto date = date_of(time_s);
    return int64_t{int{date.year()}} * 12 + unsigned{date.month()};
}
int64_t year_of(int64_t time_s) {
    return int{date_of(time_s).year()};
}

struct Rule {
    std::string_view name;
    uint32_t RetentionRules::*count;
    PeriodOf period_of;
};
constexpr Rule rules_known[] = {
    {"last", &RetentionRules::keep_last, itself},
    {"hourly", &RetentionRules::keep_hourly, hour_of},
    {"daily", &RetentionRules::keep_daily, day_of},
    {"weekly", &RetentionRules::keep_weekly, week_of},
    {"monthly", &RetentionRules::keep_monthly, month_of},
    {"yearly", &RetentionRules::keep_yearly, year_of},
};

Result<void> parse_rule(std::string_view text, RetentionRules& rules) {
    size_t equals = std::min(text.find('='), text.size());
    std::string_view name = text.substr(0, equals);
    auto rule = std::find_if(std::begin(rules_known), std::end(rules_known),
                             [&](const Rule& r) { return r.name == name; });
    if (rule == std::end(rules_known))
        return fail(EINVAL,
                    "retention \"{}\": \"{}\" is not a rule (try last, hourly, daily, weekly, "
                    "monthly or yearly)",
                    text, name);
    if (rules.*rule->count != 0)
        return fail(EINVAL, "retention \"{}\": {} is given twice", text, name);
    std::string_view digits = equals < text.size() ? text.substr(equals + 1) : std::string_view();
    uint32_t count = 0;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), count);
    if (error != std::errc() || end != digits.data() + digits.size() || count == 0)
        return fail(EINVAL, "retention \"{}\": \"{}\" is not a number from 1 to {} (try {}=7)",
                    text, digits, UINT32_MAX, name);
    rules.*rule->count = count;
    return {};
}

}  // namespace

Result<RetentionRules> parse_retention(std::string_view text) {
    RetentionRules rules;
    for (size_t start = 0;;) {
        size_t end = std::min(text.find(',', start), text.size());
        if (end == start)
            return fail(EINVAL,
                        "retention \"{}\": a rule is missing (try last=7,daily=14,weekly=8)", text);
        TRY(parse_rule(text.substr(start, end - start), rules));
        if (end == text.size()) return rules;
        start = end + 1;
    }
}

std::string format_retention(const RetentionRules& rules) {
    std::string text;
    for (const Rule& rule : rules_known)
        if (rules.*rule.count != 0)
            text += fmt::format("{}{}={}", text.empty() ? "" : ",", rule.name, rules.*rule.count);
    return text;
}

std::vector<RetentionVerdict> judge_retention(const RetentionRules& rules,
                                              std::span<const RetentionInput> generations) {
    std::vector<RetentionVerdict> verdicts;
    for (const RetentionInput& generation : generations)
        verdicts.push_back({generation.number, false, {}});
    std::vector<size_t> newest_first(generations.size());
    std::iota(newest_first.begin(), newest_first.end(), size_t{0});
    std::sort(newest_first.begin(), newest_first.end(), [&](size_t a, size_t b) {
        const RetentionInput &x = generations[a], &y = generations[b];
        return x.time_s != y.time_s ? x.time_s > y.time_s : x.number > y.number;
    });
    auto keep = [&](size_t i, std::string_view reason) {
        verdicts[i].keep = true;
        verdicts[i].reasons.push_back(reason);
    };
    if (!newest_first.empty()) keep(newest_first[0], "newest");
    for (size_t i = 0; i < generations.size(); ++i)
        if (generations[i].pinned) keep(i, "pinned");
    for (const Rule& rule : rules_known) {
        uint32_t left = rules.*rule.count;
        std::optional<int64_t> period;  // that the one before is in
        for (size_t i : newest_first) {
            if (left == 0) break;
            int64_t now = rule.period_of(generations[i].time_s);
            if (rule.period_of != itself && period == now) continue;
            period = now;
            --left;
            keep(i, rule.name);
        }
    }
    return verdicts;
}

RetentionWalk::RetentionWalk(const RetentionRules& rules) {
    for (const Rule& rule : rules_known) {
        // The newest stays whatever the rules are.
        uint32_t count = std::max(rules.*rule.count, rule.period_of == itself ? 1U : 0U);
        if (count > 0) rules_.push_back({rule.period_of, count});
    }
}

std::vector<uint32_t> RetentionWalk::add(const RetentionInput& generation) {
    std::vector<uint32_t> gone;
    auto let_go = [&](uint32_t number) {
        auto found = takers_.find(number);
        if (--found->second > 0) return;
        takers_.erase(found);
        gone.push_back(number);
    };
    takers_[generation.number] = static_cast<unsigned>(rules_.size());
    for (Taken& rule : rules_) {
        int64_t now = rule.period_of(generation.time_s);
        if (rule.period_of != itself && !rule.numbers.empty() && rule.period == now) {
            let_go(rule.numbers.back());
            rule.numbers.pop_back();
        }
        rule.period = now;
        rule.numbers.push_back(generation.number);
        if (rule.numbers.size() <= rule.count_max) continue;
        let_go(rule.numbers.front());
        rule.numbers.pop_front();
    }
    return gone;
}

}  // namespace hyper
