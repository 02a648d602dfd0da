// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost/budget.h"

#include <gtest/gtest.h>

namespace hyper::scheduler {
namespace {

Money money(const char* text) { return *parse_money(text); }
Instant at(const char* text) { return *parse_instant(text); }

Budget budget(OnExceed on_exceed = OnExceed::defer_within_rpo) { return {money("40"), "EUR", on_exceed}; }
BudgetQuestion question(const char* spent, const char* expected, const char* last_start) {
    return {money(spent), money(expected), "EUR", at("2026-11-23T12:00Z"), at(last_start)};
}

TEST(Budget, allows_what_is_within_it_to_the_last_nano) {
    auto answer = judge_budget(budget(), question("39", "1", "2026-11-24"));
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->verdict, BudgetVerdict::allow);
    EXPECT_FALSE(answer->exceeded);
    EXPECT_EQ(judge_budget(budget(), question("39", "1.000000001", "2026-11-24"))->verdict, BudgetVerdict::defer);
}

TEST(Budget, defers_until_the_next_month_where_the_objective_allows) {
    auto answer = judge_budget(budget(), question("40", "1", "2026-12-05"));
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->verdict, BudgetVerdict::defer);
    EXPECT_EQ(answer->until, at("2026-12-01"));
    EXPECT_TRUE(answer->exceeded);
    EXPECT_EQ(answer->reason, "40 EUR spent this month and 1 for this run are more than the budget of 40; it waits until 2026-12-01T00:00:00Z, the next month");
}

TEST(Budget, never_defers_past_the_last_moment_that_keeps_the_objective) {
    EXPECT_EQ(judge_budget(budget(), question("40", "1", "2026-11-23T18:00Z"))->until, at("2026-11-23T18:00Z"));
    for (const char* last : {"2026-11-23T12:00Z", "2026-11-23T11:59:59Z", "2020-01-01"}) {
        auto answer = judge_budget(budget(), question("40", "1", last));
        ASSERT_TRUE(answer);
        EXPECT_EQ(answer->verdict, BudgetVerdict::allow) << last;
        EXPECT_TRUE(answer->exceeded);
        EXPECT_FALSE(answer->until);
        EXPECT_NE(answer->reason.find("the recovery point objective comes first"), std::string::npos) << answer->reason;
    }
}

TEST(Budget, that_only_warns_lets_run) {
    auto answer = judge_budget(budget(OnExceed::warn), question("40", "1", "2026-12-05"));
    EXPECT_EQ(answer->verdict, BudgetVerdict::allow);
    EXPECT_TRUE(answer->exceeded);
}

TEST(Budget, that_stops_does_so_even_past_the_objective) {
    auto answer = judge_budget(budget(OnExceed::stop), question("40", "1", "2026-11-23T12:00Z"));
    EXPECT_EQ(answer->verdict, BudgetVerdict::stop);
    EXPECT_EQ(answer->until, at("2026-12-01"));
}

TEST(Budget, has_nothing_against_a_run_that_costs_nothing) {
    EXPECT_EQ(judge_budget(budget(OnExceed::stop), question("50", "0", "2026-11-24"))->verdict, BudgetVerdict::allow);
    EXPECT_EQ(judge_budget(budget(OnExceed::stop), question("50", "-1", "2026-11-24"))->verdict, BudgetVerdict::allow) << "power prices may be below 0";
}

TEST(Budget, is_not_compared_with_another_currency) {
    BudgetQuestion dollars = question("0", "1", "2026-11-24");
    dollars.currency = "USD";
    EXPECT_EQ(judge_budget(budget(), dollars).error().code, EINVAL);
}

TEST(Budget, survives_sums_that_do_not_fit) {
    BudgetQuestion large = question("0", "0", "2026-12-05");
    large.spent.nanos = INT64_MAX, large.expected.nanos = INT64_MAX;
    EXPECT_EQ(judge_budget(budget(), large)->verdict, BudgetVerdict::defer);
}

TEST(Budget, has_months_that_begin_in_utc) {
    EXPECT_EQ(next_month(at("2026-12-31T23:59:59Z")), at("2027-01-01"));
    EXPECT_EQ(next_month(at("2026-01-31")), at("2026-02-01"));
    EXPECT_EQ(next_month(at("2026-02-01")), at("2026-03-01"));
}

TEST(Budget, names_what_it_can_do) {
    EXPECT_EQ(*parse_on_exceed("defer-within-rpo"), OnExceed::defer_within_rpo);
    EXPECT_EQ(*parse_on_exceed("stop"), OnExceed::stop);
    EXPECT_FALSE(parse_on_exceed("explode"));
}

}  // namespace
}  // namespace hyper::scheduler
