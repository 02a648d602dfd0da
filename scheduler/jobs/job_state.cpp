// SPDX-License-Identifier: Apache-2.0
#include "scheduler/jobs/job_state.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "scheduler/planner/seed.h"

namespace hyper::scheduler {
namespace {

constexpr std::array<const char*, 5> phase_names{"waiting", "running", "retrying", "paused", "done"};
constexpr std::array<const char*, 5> outcome_names{"success", "failed", "cancelled", "suspended", "killed"};

// Between 0 and the bound of that attempt, which is drawn from no more than what is written down.
Seconds wait_of(const Retry& retry, const JobState& state, uint64_t seed) {
    double bound = double(retry.initial.count()) * std::pow(retry.factor, double(state.attempts) - 1);
    bound = std::min(bound, double(retry.cap.count()));
    uint64_t drawn = mix(seed ^ hash_text(state.job) ^ mix(hash_text(state.period) + state.attempts));
    return Seconds(static_cast<int64_t>(double(drawn >> 11) * 0x1p-53 * (bound + 1)));
}

void end_period(JobState& state, Instant now) {
    state.phase = Phase::waiting;
    state.last_end = now;
    state.period.clear();
    state.due.reset();
    state.attempts = 0;
    state.retry_at.reset();
    state.ran = {};
    state.cancelled = state.suspended = false;
    state.next_start.reset();
}

}  // namespace

const char* phase_name(Phase phase) {
    return phase_names[static_cast<size_t>(phase)];
}

std::optional<Phase> find_phase(std::string_view name) {
    for (size_t i = 0; i < phase_names.size(); i++)
        if (name == phase_names[i]) return static_cast<Phase>(i);
    return std::nullopt;
}

const char* outcome_name(Outcome outcome) {
    return outcome_names[static_cast<size_t>(outcome)];
}

std::optional<Outcome> find_outcome(std::string_view name) {
    for (size_t i = 0; i < outcome_names.size(); i++)
        if (name == outcome_names[i]) return static_cast<Outcome>(i);
    return std::nullopt;
}

JobState after_start(JobState state, const std::string& period, Instant due, Instant now) {
    bool goes_on = state.period == period && state.attempts > 0;
    if (!goes_on) {
        state.attempts = 0;
        state.ran = {};
        state.run_started = now;
    }
    if (!state.suspended || !goes_on) state.attempts++;
    state.phase = Phase::running;
    state.why = "runs";
    state.period = period;
    state.due = due;
    state.attempt_started = now;
    state.retry_at.reset();
    state.next_start.reset();
    state.cancelled = state.suspended = false;
    if (state.buffered && *state.buffered <= due) state.buffered.reset();
    state.run_asked = false;
    return state;
}

JobState after_end(const Job& job, JobState state, const AttemptEnd& end, const std::vector<Instant>& retry_by, Instant now, uint64_t seed) {
    const Retry& retry = job.rules.retry;
    switch (end.outcome) {
        case Outcome::success:
            state.last_point = state.run_started;
            state.last_success_end = now;
            state.last_generation = end.generation;
            state.last_failed = false;
            state.why = "the last run succeeded";
            end_period(state, now);
            return state;
        case Outcome::cancelled:
            state.last_failed = true;
            state.why = "the last run was cancelled";
            end_period(state, now);
            return state;
        case Outcome::suspended:
            state.ran += now - state.attempt_started.value_or(now);
            [[fallthrough]];
        case Outcome::killed:
            // How far a killed one came is not known here; what it stored is found again by the next attempt.
            state.phase = Phase::waiting;
            state.suspended = true;
            state.why = end.outcome == Outcome::killed ? "hyperd ended while it ran; it goes on" : "stopped, to go on";
            return state;
        case Outcome::failed:
            break;
    }
    bool may = std::find(retry.on.begin(), retry.on.end(), end.failure) != retry.on.end() && state.attempts <= retry.max;
    Instant again = now + wait_of(retry, state, seed);
    const Seconds give_up = retry.give_up_before_deadline;
    // A drawn wait is not worth a deadline. Past it tries go on, unless that is given up.
    auto next = std::ranges::upper_bound(retry_by, now + give_up);
    if (next != retry_by.end()) again = std::min(again, *next - give_up);
    if (give_up.count() > 0 && next != retry_by.begin()) may = false;
    if (!may) {
        state.last_failed = true;
        state.why = fmt::format("the last run failed after {} attempt{} ({}): {}", state.attempts, state.attempts == 1 ? "" : "s", failure_name(end.failure), end.message);
        end_period(state, now);
        return state;
    }
    state.phase = Phase::retrying;
    state.retry_at = again;
    state.next_start = again;
    state.why = fmt::format("attempt {} failed ({}: {}), tried again at {}", state.attempts, failure_name(end.failure), end.message, instant_text(again));
    return state;
}

JobState after_run_asked(JobState state) {
    if (state.run_asked) return state;
    state.run_asked = true;
    state.asked++;
    return state;
}

JobState after_pause(JobState state) {
    state.user_paused = true;
    return state;
}

JobState after_resume(JobState state) {
    state.user_paused = false;
    return state;
}

JobState after_cancel(JobState state, Instant now) {
    state.run_asked = false;
    state.buffered.reset();
    if (state.phase == Phase::running) {
        state.cancelled = true;
        return state;
    }
    if (state.period.empty()) return state;
    if (state.due) state.served_until = std::max(state.served_until.value_or(*state.due), *state.due);
    // A dependency that made it due is used up.
    if (state.period.starts_with("after ")) state.run_started = now;
    state.last_failed = true;
    state.why = "the run that was waited for was cancelled";
    end_period(state, now);
    return state;
}

}  // namespace hyper::scheduler
