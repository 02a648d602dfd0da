// SPDX-License-Identifier: Apache-2.0
#include "scheduler/state/row_json.h"

#include <gtest/gtest.h>

namespace hyper::scheduler {
namespace {

const Instant now = *parse_instant("2026-01-15T12:00:00Z");

TEST(RowJson, reads_every_member_of_a_state_that_it_wrote) {
    JobState state;
    state.job = "db\n\"", state.phase = Phase::paused, state.why = "w", state.next_start = now, state.since = now;
    state.last_point = state.last_success_end = state.last_end = now, state.last_generation = "7", state.last_failed = true;
    state.period = "p", state.due = now, state.attempts = 3, state.retry_at = now, state.run_started = state.attempt_started = now;
    state.ran = Seconds(9), state.buffered = now, state.cancelled = state.suspended = true, state.served_until = now, state.asked = 4;
    state.run_asked = state.user_paused = true;
    state.over_budget = "2026-11";
    std::string json = state_json(state);
    for (const char* key : {"job", "phase", "why", "next-start", "since", "last-point", "last-success-end", "last-generation", "last-end", "last-failed", "period", "due",
                            "attempts", "retry-at", "run-started", "attempt-started", "ran-seconds", "buffered", "cancelled", "suspended", "served-until", "asked",
                            "run-asked", "user-paused", "over-budget"})
        EXPECT_NE(json.find(std::string("\"") + key + "\""), std::string::npos) << key;
    auto read = parse_state_json(json);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(state_json(*read), json);
    EXPECT_EQ(read->job, state.job);
    EXPECT_EQ(read->phase, Phase::paused);
}

TEST(RowJson, reads_every_member_of_a_run_that_it_wrote) {
    RunRow row;
    row.job = "db", row.period = "p", row.due = row.decided_at = row.planned_start = now, row.deadline = now;
    row.cause = "planned", row.explanation = "e", row.alternatives_json = R"([{"what":"now"}])", row.issues = "DE 1";
    row.expected_grams = {1, 2, 3}, row.expected_money = Money{-5}, row.currency = "EUR", row.expected_bytes = UINT64_MAX, row.expected_length = Seconds(7);
    row.phase = "success", row.started_at = row.ended_at = now, row.attempts = 2, row.message = "m", row.generation = "8";
    row.moved_bytes = 5, row.changed_bytes = 6, row.noted_bytes = 4, row.seconds = 1.5, row.stretches = {{now, now + Seconds(5)}};
    row.energy = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}}, row.grams = row.grams_at_once = row.grams_foresight = carbon::Estimate{1, 2, 3}, row.money = Money{1};
    std::string json = run_json(row);
    auto read = parse_run_json(json);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(run_json(*read), json);
    EXPECT_EQ(read->expected_bytes, UINT64_MAX);
    EXPECT_EQ(read->noted_bytes, 4u);
    EXPECT_EQ(read->stretches, row.stretches);
    EXPECT_EQ(read->expected_money->nanos, -5);
    EXPECT_EQ(read->energy.network.high, 9);
    EXPECT_EQ(read->alternatives_json, row.alternatives_json);
}

TEST(RowJson, refuses_what_it_did_not_write) {
    for (const char* json : {"", "[]", R"({"phase": "asleep"})", R"({"since": "yesterday"})", R"({"attempts": "2"})"}) EXPECT_FALSE(parse_state_json(json)) << json;
    EXPECT_FALSE(parse_run_json(R"({"stretches": [["2026-01-01T00:00:00Z"]]})"));
}

TEST(RowJson, makes_rows_of_decisions) {
    Decision decision;
    decision.job = "db", decision.period = "p", decision.cause = Cause::deadline, decision.explanation = "it must", decision.notes = {"over limits"};
    decision.alternatives = {{"now", now, carbon::Estimate{1, 2, 3}, Money{4}, "EUR"}};
    RunRow run = run_row(decision, now);
    EXPECT_EQ(run.explanation, "it must; over limits");
    EXPECT_EQ(run.expected_grams.middle, 2);
    EXPECT_EQ(decision_row(decision, now, 5).alternatives_json,
              R"([{"what":"now","start":"2026-01-15T12:00:00Z","grams":{"low":1.0,"middle":2.0,"high":3.0},"money":"0.000000004","currency":"EUR"}])");
}

}  // namespace
}  // namespace hyper::scheduler
