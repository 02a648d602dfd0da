// SPDX-License-Identifier: Apache-2.0
// Where a job stands: what the store keeps of it, and how it changes. The changes are pure functions, which hyperd and the simulator share;
// whoever calls them commits the result before acting on it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "scheduler/jobs/job.h"

namespace hyper::scheduler {

enum class Phase { waiting, running, retrying, paused, done };
const char* phase_name(Phase phase);
std::optional<Phase> find_phase(std::string_view name);

struct JobState {
    std::string job;
    Phase phase = Phase::waiting;
    std::string why;                    // a sentence
    std::optional<Instant> next_start;  // planned; nothing if none is
    Instant since{};                    // when the job was first known: until its first success its RPO counts from there

    // The newest good generation: what point in time it holds (when its first attempt began), when its run ended, which one it is.
    std::optional<Instant> last_point, last_success_end;
    std::string last_generation;
    std::optional<Instant> last_end;  // of the last run, however it ended
    bool last_failed = false;

    // The period that is being served: that of which a run is waited for, runs, or is tried again. Periods make the idempotency key, so
    // each is served once: "2026-01-01T00:00:00Z" for a calendar's time or an elastic beginning, "rpo 2026-..", "after JOB 2026-..",
    // "asked N".
    std::string period;
    std::optional<Instant> due;          // when it was due
    unsigned attempts = 0;               // begun in it
    std::optional<Instant> retry_at;     // phase retrying
    std::optional<Instant> run_started;  // of its first attempt
    std::optional<Instant> attempt_started;
    Seconds ran{};                       // in it, before this attempt: a paused or interrupted sync goes on where it stopped
    std::optional<Instant> buffered;     // another due time that came while it ran (overlap buffer-one, allow)
    bool cancelled = false;              // the run that goes on is to end: cancel was asked for, or overlap = replace
    bool suspended = false;              // stopped by us (window closed, dirty grid, hyperd ended), to go on

    std::optional<Instant> served_until;  // calendar's times up to there have been served, skipped or given up
    uint64_t asked = 0;                   // how often `job run` was asked for
    bool run_asked = false;               // one of these has not begun
    bool user_paused = false;             // by `job pause`; Job::paused is the file's
    std::string over_budget;              // the month ("2026-11") for which it was told that the budget is exceeded
};

// How an attempt ended.
enum class Outcome { success, failed, cancelled, suspended, killed };
const char* outcome_name(Outcome outcome);
std::optional<Outcome> find_outcome(std::string_view name);

struct AttemptEnd {
    Outcome outcome = Outcome::success;
    Failure failure = Failure::io;  // of Outcome::failed
    std::string message = {};       // of what went wrong
    std::string generation = {};    // of Outcome::success
};

// The state when an attempt for `period` begins. The phase is `running`.
JobState after_start(JobState state, const std::string& period, Instant due, Instant now);
// The state when it has ended: waiting, retrying, or waiting to go on. The time of a retry is drawn (exponential with full jitter, capped) from seed,
// job, period and attempt; it passes none of `retry_by` (in order of time: Decision::retry_by) that is still to come.
JobState after_end(const Job& job, JobState state, const AttemptEnd& end, const std::vector<Instant>& retry_by, Instant now, uint64_t seed);

// What users ask for. Cancel ends the run that goes on, or gives up the one that is waited for.
JobState after_run_asked(JobState state);
JobState after_pause(JobState state);
JobState after_resume(JobState state);
JobState after_cancel(JobState state, Instant now);

}  // namespace hyper::scheduler
