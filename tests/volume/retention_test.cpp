// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/retention.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <set>

#include "tests/support/support.h"

namespace hyper {
namespace {

int64_t at(int year, unsigned month, unsigned day, int hour = 0, int minute = 0) {
    using namespace std::chrono;
    auto date = sys_days(
        year_month_day(std::chrono::year(year), std::chrono::month(month), std::chrono::day(day)));
    return duration_cast<seconds>(date.time_since_epoch()).count() + hour * 3600 + minute * 60;
}

// Numbered from 1.
std::vector<RetentionInput> generations(const std::vector<int64_t>& times) {
    std::vector<RetentionInput> list;
    for (int64_t time : times) list.push_back({static_cast<uint32_t>(list.size() + 1), time});
    return list;
}

std::vector<uint32_t> kept(std::string_view rules, std::span<const RetentionInput> list) {
    auto parsed = parse_retention(rules);
    EXPECT_TRUE(parsed) << rules;
    std::vector<uint32_t> numbers;
    for (const RetentionVerdict& verdict : judge_retention(*parsed, list)) {
        EXPECT_EQ(verdict.keep, !verdict.reasons.empty());
        if (verdict.keep) numbers.push_back(verdict.number);
    }
    return numbers;
}

using Numbers = std::vector<uint32_t>;

// The examples of restic's documentation, "Removing snapshots according to a policy": backups on
// Sundays only.
TEST(Retention, days_without_a_generation_do_not_count) {
    auto sundays = generations({at(2019, 9, 1, 11), at(2019, 9, 8, 11), at(2019, 9, 15, 11),
                                at(2019, 9, 22, 11), at(2019, 9, 29, 11), at(2019, 10, 6, 11),
                                at(2019, 10, 13, 11), at(2019, 10, 20, 11), at(2019, 10, 27, 11),
                                at(2019, 11, 3, 11), at(2019, 11, 10, 11), at(2019, 11, 17, 11)});
    EXPECT_EQ(kept("daily=4", sundays), (Numbers{9, 10, 11, 12}));
}

TEST(Retention, a_daily_backup_of_years_leaves_what_restic_tells) {
    // "--keep-daily 7 --keep-weekly 5 --keep-monthly 12 --keep-yearly 75" on a backup a day for a
    // hundred years, the last of which is on a Wednesday.
    std::vector<int64_t> times;
    for (int64_t time = at(1924, 1, 1, 12); time <= at(2023, 11, 15, 12); time += 86400)
        times.push_back(time);
    auto list = generations(times);
    std::set<int64_t> wanted;
    for (unsigned day = 9; day <= 15; ++day) wanted.insert(at(2023, 11, day, 12));
    // This week's newest, and the four Sundays before.
    for (int64_t time : {at(2023, 11, 15, 12), at(2023, 11, 12, 12), at(2023, 11, 5, 12),
                         at(2023, 10, 29, 12), at(2023, 10, 22, 12)})
        wanted.insert(time);
    // The last days of the months before, and of the years.
    for (unsigned month = 11, year = 2022, n = 0; n < 11; ++n) {
        month = month == 12 ? 1 : month + 1;
        if (month == 1) year = 2023;
        wanted.insert(at(static_cast<int>(month == 12 ? year + 1 : year),
                         month == 12 ? 1 : month + 1, 1, 12) -
                      86400);
    }
    for (int year = 2022; year > 2023 - 75; --year) wanted.insert(at(year, 12, 31, 12));
    std::set<int64_t> got;
    for (uint32_t number : kept("daily=7,weekly=5,monthly=12,yearly=75", list))
        got.insert(times[number - 1]);
    EXPECT_EQ(got, wanted);
}

TEST(Retention, each_rule_keeps_the_newest_of_its_period) {
    struct Example {
        std::string_view rules;
        std::vector<int64_t> times;
        Numbers kept;
    };
    const Example examples[] = {
        {"last=2", {at(2026, 1, 1), at(2026, 1, 1), at(2026, 1, 1)}, {2, 3}},
        {"hourly=2",
         {at(2026, 1, 1, 9, 59), at(2026, 1, 1, 10, 0), at(2026, 1, 1, 10, 59), at(2026, 1, 1, 13)},
         {3, 4}},
        {"daily=2", {at(2026, 1, 1, 23, 59), at(2026, 1, 2, 0, 0), at(2026, 1, 2, 23, 59)}, {1, 3}},
        // 2026-12-31 is a Thursday: with it and the days until Sunday, week 53 goes on in the next
        // year.
        {"weekly=2",
         {at(2026, 12, 27), at(2026, 12, 28), at(2026, 12, 31), at(2027, 1, 3)},
         {1, 4}},
        {"weekly=3",
         {at(2026, 12, 27), at(2026, 12, 28), at(2027, 1, 3), at(2027, 1, 4)},
         {1, 3, 4}},
        {"monthly=2", {at(2026, 2, 28), at(2026, 3, 1), at(2026, 3, 31)}, {1, 3}},
        {"monthly=2", {at(2025, 3, 1), at(2026, 3, 1)}, {1, 2}},
        {"yearly=2", {at(2025, 1, 1), at(2025, 12, 31, 23, 59), at(2026, 1, 1)}, {2, 3}},
        // The rules count apart: the newest is last, daily and weekly at once.
        {"last=1,daily=1,weekly=1", {at(2026, 1, 1), at(2026, 1, 2)}, {2}},
        // Before 1970.
        {"daily=2", {at(1969, 12, 31, 1), at(1969, 12, 31, 23), at(1970, 1, 1)}, {2, 3}},
        {"yearly=9", {}, {}},
    };
    for (const Example& example : examples)
        EXPECT_EQ(kept(example.rules, generations(example.times)), example.kept) << example.rules;
}

TEST(Retention, the_newest_and_what_is_pinned_always_stay) {
    auto list = generations({at(2026, 1, 1), at(2026, 1, 2), at(2026, 1, 3)});
    list[0].pinned = true;
    auto verdicts = judge_retention({}, list);
    EXPECT_EQ(verdicts[0].reasons, (std::vector<std::string_view>{"pinned"}));
    EXPECT_FALSE(verdicts[1].keep);
    EXPECT_EQ(verdicts[2].reasons, (std::vector<std::string_view>{"newest"}));
}

TEST(Retention, a_pinned_generation_takes_no_place_from_others_in_a_rule) {
    auto list = generations({at(2026, 1, 1), at(2026, 1, 2), at(2026, 1, 3)});
    list[0].pinned = true;
    EXPECT_EQ(kept("last=2", list), (Numbers{1, 2, 3}));
}

TEST(Retention, reasons_are_all_that_apply) {
    auto list = generations({at(2026, 1, 1), at(2026, 1, 2)});
    list[1].pinned = true;
    auto verdicts = judge_retention(
        *parse_retention("yearly=1,monthly=1,weekly=1,daily=2,hourly=1,last=1"), list);
    EXPECT_EQ(verdicts[0].reasons, (std::vector<std::string_view>{"daily"}));
    EXPECT_EQ(verdicts[1].reasons,
              (std::vector<std::string_view>{"newest", "pinned", "last", "hourly", "daily",
                                             "weekly", "monthly", "yearly"}));
}

TEST(Retention, keeps_no_more_than_asked_whatever_the_order) {
    for (uint64_t seed = 1; seed <= 300; ++seed) {
        SCOPED_TRACE(seed);
        std::mt19937_64 random(seed);
        std::vector<int64_t> times(random() % 60);
        for (int64_t& time : times)
            time = at(2026, 1, 1) +
                   static_cast<int64_t>(random() % (random() % 2 ? 100000 : 100000000));
        auto list = generations(times);
        RetentionRules rules;
        for (uint32_t* count : {&rules.keep_last, &rules.keep_hourly, &rules.keep_daily,
                                &rules.keep_weekly, &rules.keep_monthly, &rules.keep_yearly})
            *count = static_cast<uint32_t>(random() % 5);
        auto verdicts = judge_retention(rules, list);
        std::map<std::string_view, uint32_t> counts;
        std::map<uint32_t, bool> kept_in_order;
        for (const RetentionVerdict& verdict : verdicts) {
            kept_in_order[verdict.number] = verdict.keep;
            for (std::string_view reason : verdict.reasons) ++counts[reason];
        }
        auto expect_count = [&](std::string_view reason, uint32_t asked) {
            ASSERT_LE(counts[reason], asked) << reason;
            // A rule that finds something and keeps something, keeps the newest.
            if (!list.empty()) {
                ASSERT_GE(counts[reason], std::min(asked, 1u)) << reason;
            }
        };
        expect_count("last", rules.keep_last);
        expect_count("hourly", rules.keep_hourly);
        expect_count("daily", rules.keep_daily);
        expect_count("weekly", rules.keep_weekly);
        expect_count("monthly", rules.keep_monthly);
        expect_count("yearly", rules.keep_yearly);
        ASSERT_EQ(counts["last"], std::min<size_t>(rules.keep_last, list.size()));
        // What a day keeps is the newest of that day.
        for (const RetentionInput& one : list) {
            auto reasons = verdicts[one.number - 1].reasons;
            if (std::count(reasons.begin(), reasons.end(), "daily") == 0) continue;
            for (const RetentionInput& other : list)
                ASSERT_FALSE(other.time_s / 86400 == one.time_s / 86400 && other.time_s > one.time_s);
        }
        std::shuffle(list.begin(), list.end(), random);
        auto shuffled = judge_retention(rules, list);
        for (size_t i = 0; i < list.size(); ++i) {
            ASSERT_EQ(shuffled[i].number, list[i].number);
            ASSERT_EQ(shuffled[i].keep, kept_in_order[list[i].number]);
        }
    }
}

TEST(RetentionText, is_read_in_any_order_and_written_in_one) {
    auto rules = parse_retention("weekly=8,last=7,daily=14");
    ASSERT_TRUE(rules);
    EXPECT_EQ(*rules, (RetentionRules{7, 0, 14, 8, 0, 0}));
    EXPECT_EQ(format_retention(*rules), "last=7,daily=14,weekly=8");
    EXPECT_EQ(format_retention({}), "");
    std::string all = "last=1,hourly=2,daily=3,weekly=4,monthly=5,yearly=4294967295";
    EXPECT_EQ(format_retention(*parse_retention(all)), all);
}

TEST(RetentionText, says_what_is_wrong) {
    auto message = [](std::string_view text) {
        auto rules = parse_retention(text);
        EXPECT_FALSE(rules) << text;
        if (rules) return std::string();
        EXPECT_EQ(rules.error().code, EINVAL) << text;
        return rules.error().message;
    };
    auto says = [&](std::string_view text, std::string_view part) {
        EXPECT_NE(message(text).find(part), std::string::npos) << text << ": " << message(text);
    };
    says("", "a rule is missing");
    says("last=7,", "a rule is missing");
    says(",last=7", "a rule is missing");
    says("fortnightly=3", "\"fortnightly\" is not a rule (try last, hourly,");
    says("Last=3", "\"Last\" is not a rule");
    says("last = 3", "\"last \" is not a rule");
    says("last", "\"\" is not a number from 1 to 4294967295 (try last=7)");
    says("daily=0", "\"0\" is not a number");
    says("daily=-1", "\"-1\" is not a number");
    says("daily=7d", "\"7d\" is not a number");
    says("daily=4294967296", "\"4294967296\" is not a number");
    says("daily=7,daily=8", "daily is given twice");
}

TEST(Retention, a_walk_lets_go_what_judging_after_each_generation_would) {
    std::mt19937_64 draw(1);
    for (int round = 0; round < 100; ++round) {
        RetentionRules rules;
        for (auto rule : {&RetentionRules::keep_last, &RetentionRules::keep_hourly, &RetentionRules::keep_daily,
                          &RetentionRules::keep_weekly, &RetentionRules::keep_monthly, &RetentionRules::keep_yearly})
            rules.*rule = draw() % 2 == 0 ? 0 : static_cast<uint32_t>(draw() % 6);
        RetentionWalk walk(rules);
        std::vector<RetentionInput> stay;
        const int64_t apart_max = int64_t{1} << (8 + draw() % 17);
        int64_t time = at(2024, 1, 1);
        for (uint32_t number = 1; number <= 200; ++number) {
            time += 1 + static_cast<int64_t>(draw() % static_cast<uint64_t>(apart_max));
            stay.push_back({number, time});
            std::set<uint32_t> judged;
            for (const RetentionVerdict& verdict : judge_retention(rules, stay))
                if (!verdict.keep) judged.insert(verdict.number);
            auto gone = walk.add(stay.back());
            ASSERT_EQ(std::set<uint32_t>(gone.begin(), gone.end()), judged) << format_retention(rules) << ", generation " << number;
            std::erase_if(stay, [&](const RetentionInput& one) { return judged.contains(one.number); });
        }
    }
}

}  // namespace
}  // namespace hyper
