// SPDX-License-Identifier: Apache-2.0
#include "scheduler/jobs/job_state.h"

#include "tests/scheduler/world.h"

namespace hyper::scheduler {
namespace {

Job job_with(Retry retry) {
    Job job;
    job.name = "db";
    job.rules.retry = std::move(retry);
    return job;
}

JobState started() {
    JobState state;
    state.job = "db";
    return after_start(state, "p", day0, day0);
}

const AttemptEnd failed{.outcome = Outcome::failed, .failure = Failure::unavailable, .message = "no route", .generation = ""};

TEST(JobState, success_counts_from_the_first_attempts_beginning) {
    JobState state = started();
    state = after_end(job_with({}), state, failed, {}, day0 + minutes(10), 1);
    EXPECT_EQ(state.phase, Phase::retrying);
    state = after_start(state, "p", day0, *state.retry_at);
    EXPECT_EQ(state.attempts, 2u);
    state = after_end(job_with({}), state, {.generation = "7"}, {}, day0 + hours(1), 1);
    EXPECT_EQ(state.last_point, day0);
    EXPECT_EQ(state.last_generation, "7");
    EXPECT_EQ(state.last_end, day0 + hours(1));
    EXPECT_TRUE(state.period.empty());
}

TEST(JobState, waits_grow_up_to_a_cap_and_are_drawn_between_nothing_and_their_bound) {
    Retry retry{.max = 100, .initial = Seconds(30), .factor = 2, .cap = Seconds(900)};
    for (unsigned attempt : {1u, 2u, 3u, 8u}) {
        double sum = 0;
        int64_t most = 0;
        for (uint64_t seed = 0; seed < 2000; seed++) {
            JobState state = started();
            state.attempts = attempt;
            auto wait = (*after_end(job_with(retry), state, failed, {}, day0, seed).retry_at - day0).count();
            sum += double(wait), most = std::max(most, wait);
        }
        double bound = std::min(900.0, 30 * std::pow(2, attempt - 1));
        EXPECT_LE(most, bound);
        EXPECT_GT(double(most), bound * 0.97);
        EXPECT_NEAR(sum / 2000, bound / 2, bound * 0.03);
    }
}

TEST(JobState, draws_the_same_wait_again_from_the_same_seed) {
    EXPECT_EQ(after_end(job_with({}), started(), failed, {}, day0, 5).retry_at, after_end(job_with({}), started(), failed, {}, day0, 5).retry_at);
}

TEST(JobState, gives_up_after_so_many_attempts) {
    JobState state = started();
    state.attempts = 3;
    EXPECT_EQ(after_end(job_with({.max = 3}), state, failed, {}, day0, 1).phase, Phase::retrying);
    state.attempts = 4;
    state = after_end(job_with({.max = 3}), state, failed, {}, day0, 1);
    EXPECT_EQ(state.phase, Phase::waiting);
    EXPECT_TRUE(state.last_failed);
    EXPECT_EQ(state.why, "the last run failed after 4 attempts (unavailable): no route");
}

TEST(JobState, tries_again_only_after_failures_that_are_named) {
    AttemptEnd denied = failed;
    denied.failure = Failure::denied;
    EXPECT_EQ(after_end(job_with({}), started(), denied, {}, day0, 1).phase, Phase::waiting);
    EXPECT_EQ(after_end(job_with({.on = {Failure::denied}}), started(), denied, {}, day0, 1).phase, Phase::retrying);
    EXPECT_EQ(after_end(job_with({.on = {}}), started(), failed, {}, day0, 1).phase, Phase::waiting);
}

TEST(JobState, does_not_wait_over_the_last_moment) {
    Retry slow{.initial = hours(10), .cap = hours(10)};
    for (uint64_t seed = 0; seed < 50; seed++) EXPECT_LE(*after_end(job_with(slow), started(), failed, {day0 + minutes(5)}, day0, seed).retry_at, day0 + minutes(5));
    // What was to be kept free is used up; the very last moment is still to come.
    for (uint64_t seed = 0; seed < 50; seed++)
        EXPECT_LE(*after_end(job_with(slow), started(), failed, {day0 - minutes(5), day0 + minutes(9)}, day0, seed).retry_at, day0 + minutes(9));
    slow.give_up_before_deadline = minutes(20);
    EXPECT_EQ(after_end(job_with(slow), started(), failed, {day0 + minutes(5)}, day0, 1).phase, Phase::waiting) << "given up";
}

TEST(JobState, names_are_read_back) {
    for (Phase phase : {Phase::waiting, Phase::running, Phase::retrying, Phase::paused, Phase::done}) EXPECT_EQ(find_phase(phase_name(phase)), phase);
    for (Outcome outcome : {Outcome::success, Outcome::failed, Outcome::cancelled, Outcome::suspended, Outcome::killed}) EXPECT_EQ(find_outcome(outcome_name(outcome)), outcome);
    for (size_t i = 0; i < failure_count; i++) EXPECT_EQ(find_failure(failure_name(static_cast<Failure>(i))), static_cast<Failure>(i));
    EXPECT_EQ(find_phase("?"), std::nullopt);
}

}  // namespace
}  // namespace hyper::scheduler
