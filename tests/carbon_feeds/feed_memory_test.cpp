// SPDX-License-Identifier: Apache-2.0
#include "carbon/feeds/feed_memory.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hyper::carbon {
namespace {

using namespace std::chrono;

constexpr Instant day = sys_days(2026y / March / 2);  // a Monday

MeasuredSteps measured(Instant from, Seconds step, std::vector<double> values) {
    std::vector<bool> marks(values.size());
    return {StepSeries(from, step, std::move(values)), std::move(marks)};
}
StoredAnswer answer(MeasuredSteps steps, Instant received_at) { return {StoredAnswer::What::measured, received_at, {}, std::move(steps)}; }
StoredAnswer issue(Instant at, std::vector<double> values) {
    return {StoredAnswer::What::forecast, at, at, {StepSeries(at, hours(1), std::move(values)), {}}};
}

TEST(FeedMemory, puts_days_together) {
    FeedMemory memory;
    memory.take(answer(measured(day, hours(1), {1, 2, 3}), day + hours(3)));
    memory.take(answer(measured(day + hours(2), hours(1), {30, 4}), day + hours(4)));
    EXPECT_EQ(memory.measured().at(day + hours(1)), 2);
    EXPECT_EQ(memory.measured().at(day + hours(2)), 30) << "what came later holds";
    EXPECT_EQ(memory.measured().at(day + hours(3)), 4);
    EXPECT_EQ(memory.measured().at(day + hours(4)), std::nullopt);
}

TEST(FeedMemory, keeps_a_value_where_a_later_answer_has_a_gap) {
    FeedMemory memory;
    memory.take(answer(measured(day, hours(1), {1, 2, 3}), day + hours(3)));
    memory.take(answer(measured(day, hours(1), {NAN, NAN, NAN, 4}), day + hours(4)));
    EXPECT_EQ(memory.measured().at(day + hours(1)), 2);
}

TEST(FeedMemory, goes_over_to_finer_steps) {
    FeedMemory memory;
    memory.take(answer(measured(day, hours(1), {1, 2}), day + hours(2)));
    memory.take(answer(measured(day + hours(2), minutes(15), {3, 4, 5, 6}), day + hours(3)));
    EXPECT_EQ(memory.measured().step(), minutes(15));
    EXPECT_EQ(memory.measured().at(day + minutes(59)), 1);
    EXPECT_EQ(memory.measured().at(day + hours(2) + minutes(50)), 6);
    memory.take(answer(measured(day + hours(3), hours(1), {7}), day + hours(4)));
    EXPECT_EQ(memory.measured().step(), minutes(15));
    EXPECT_EQ(memory.measured().at(day + hours(3) + minutes(50)), 7);
}

TEST(FeedMemory, takes_nothing_from_the_future_or_from_long_ago) {
    FeedMemory memory;
    memory.take(answer(measured(day + days(900), hours(1), {9, 9}), day));
    memory.take(answer(measured(day - days(900), hours(1), {9, 9}), day));
    EXPECT_TRUE(memory.measured().empty());
    memory.take(answer(measured(day, hours(1), std::vector<double>(48, 5)), day + hours(1)));
    EXPECT_EQ(memory.measured().at(day + hours(1)), 5) << "the step that is under way";
    EXPECT_EQ(memory.measured().at(day + hours(2)), std::nullopt);
}

TEST(FeedMemory, forgets_what_is_older_than_the_store_keeps) {
    FeedMemory memory;
    for (int i = 0; i < 100; i++) memory.take(answer(measured(day + days(i), hours(1), std::vector<double>(24, i)), day + days(i + 1)));
    EXPECT_EQ(memory.measured().at(day + days(50)), std::nullopt);
    EXPECT_EQ(memory.measured().at(day + days(60)), 60);
    EXPECT_LE(memory.measured().size(), 24u * 48);
}

TEST(FeedMemory, has_no_news_of_what_it_knows) {
    FeedMemory memory;
    MeasuredSteps steps = measured(day, hours(1), {1, 2, 3});
    StepSeries forecast(day + hours(3), hours(1), {4, 5});
    Instant now = day + hours(3);
    auto first = memory.news(steps, &forecast, now, now);
    ASSERT_EQ(first.size(), 2u);
    for (const StoredAnswer& one : first) memory.take(one);
    EXPECT_TRUE(memory.news(steps, &forecast, now, now + minutes(5)).empty());
    steps = measured(day, hours(1), {1, 2, 3, 4});
    auto more = memory.news(steps, &forecast, now, now + hours(1));
    ASSERT_EQ(more.size(), 1u);
    EXPECT_EQ(more[0].steps.series.size(), 1u) << "the new hour alone";
}

TEST(FeedMemory, remembers_which_values_are_estimates) {
    FeedMemory memory;
    MeasuredSteps steps = measured(day, hours(1), {1, 2});
    steps.estimated = {false, true};
    memory.take(answer(steps, day + hours(2)));
    EXPECT_FALSE(memory.is_estimated(day));
    EXPECT_TRUE(memory.is_estimated(day + hours(1) + minutes(5)));
    steps.estimated = {false, false};
    EXPECT_EQ(memory.news(steps, nullptr, {}, day + hours(2)).size(), 1u) << "an estimate that was confirmed";
}

TEST(FeedMemory, takes_no_older_issue_for_the_newest) {
    FeedMemory memory;
    memory.take(issue(day, {1}));
    StoredAnswer older = issue(day - hours(3), {1});
    older.received_at = day;
    memory.take(older);
    EXPECT_EQ(memory.newest_issue(), day);
}

TEST(FeedMemory, takes_an_issue_of_the_future_for_one_of_now) {
    FeedMemory memory;
    StoredAnswer ahead = issue(day, {1, 1, 1});
    ahead.issued_at = day + days(100);
    memory.take(ahead);
    EXPECT_EQ(memory.newest_issue(), day);
    StepSeries forecast(day, hours(1), {1, 2});
    auto news = memory.news({}, &forecast, day + days(100), day + hours(1));
    ASSERT_EQ(news.size(), 1u);
    EXPECT_EQ(news[0].issued_at, day + hours(1));
}

TEST(FeedMemory, goes_on_with_issues_that_come_once_the_clock_is_right) {
    FeedMemory memory;
    StoredAnswer ahead = issue(day + days(1000), {1});
    ahead.steps.series = StepSeries(day, hours(1), {1, 1, 1});
    memory.take(ahead);
    StepSeries forecast(day, hours(1), {7, 7, 7});
    auto news = memory.news({}, &forecast, day, day);
    ASSERT_EQ(news.size(), 1u);
    memory.take(news[0]);
    EXPECT_EQ(memory.newest_issue(), day);
    Outlook outlook = memory.outlook(day, day + hours(3), hours(3));
    EXPECT_EQ(outlook.series.values(), (std::vector<double>{7, 7, 7}));
    EXPECT_TRUE(memory.news({}, &forecast, day, day + minutes(5)).empty());
}

TEST(FeedMemory, knows_after_a_restart_only_what_came_when_the_clock_was_right) {
    std::vector<StoredAnswer> answers{issue(day, {5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5}), issue(day + days(1000), {1}), issue(day + hours(7), {7, 7})};
    FeedMemory memory;
    memory.take_stored(answers);
    EXPECT_EQ(memory.newest_issue(), day + hours(7));
    Outlook outlook = memory.outlook(day + hours(8), day + hours(11), hours(3));
    EXPECT_EQ(outlook.series.values(), (std::vector<double>{7, 5, 5})) << "the older one reaches farther";
    EXPECT_EQ(outlook.sources[2], OutlookSource::older_forecast);
}

// Six weeks of a feed that always forecasts 40 too little.
std::vector<StoredAnswer> six_weeks() {
    std::vector<StoredAnswer> answers;
    for (int hour = 0; hour < 24 * 42; hour++) {
        Instant now = day + hours(hour);
        auto value = [&](Instant at) { return 300 + 80 * std::sin(double((at - day).count()) / 86400 * 6.283); };
        answers.push_back(answer(measured(now - hours(1), hours(1), {value(now - hours(1))}), now));
        std::vector<double> ahead;
        for (int i = 0; i < 48; i++) ahead.push_back(value(now + hours(i)) - 40);
        if (hour % 3 == 0) answers.push_back(issue(now, std::move(ahead)));
    }
    return answers;
}

TEST(FeedMemory, knows_after_a_restart_what_it_knew_before) {
    auto answers = six_weeks();
    FeedMemory live, restarted;
    for (const StoredAnswer& one : answers) live.take(one);
    restarted.take_stored(answers);
    Instant now = day + days(42);
    Outlook before = live.outlook(now, now + hours(40), hours(3)), after = restarted.outlook(now, now + hours(40), hours(3));
    EXPECT_EQ(before.series.values(), after.series.values());
    EXPECT_EQ(before.sources, after.sources);
}

TEST(FeedMemory, learns_from_past_issues_how_a_feed_errs) {
    FeedMemory memory;
    memory.take_stored(six_weeks());
    Instant now = day + days(42);
    Outlook outlook = memory.outlook(now, now + hours(24), hours(3));
    double value = 300 + 80 * std::sin(42 * 6.283);
    EXPECT_NEAR(outlook.series.values()[0], value, 12) << "not 40 too little";
}

}  // namespace
}  // namespace hyper::carbon
