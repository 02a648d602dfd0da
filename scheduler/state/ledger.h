// SPDX-License-Identifier: Apache-2.0
// Rows that are kept: what was decided, what ran, what it was expected to cost and what it did. Plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "scheduler/decide.h"

namespace hyper::scheduler {

// A run: one for each job and period, which may take several attempts.
struct RunRow {
    std::string job, period;  // together its idempotency key
    Instant due{};
    // As it was decided.
    Instant decided_at{}, planned_start{};
    std::optional<Instant> deadline;
    std::string cause, explanation, alternatives_json, issues;
    carbon::Estimate expected_grams;
    std::optional<Money> expected_money;
    std::string currency;
    uint64_t expected_bytes = 0;
    Seconds expected_length{};
    // As it was.
    std::string phase = "running";  // running, suspended, retrying, success, failed, cancelled
    std::optional<Instant> started_at, ended_at;
    unsigned attempts = 0;
    std::string message, generation;
    uint64_t moved_bytes = 0, changed_bytes = 0;
    uint64_t noted_bytes = 0;  // of moved_bytes: of attempts during which hyperd was killed, as far as was noted; it may have been more
    double seconds = 0;  // of all attempts
    // What it emitted, in which stretches of time, so that it can be computed again; unknown until intensities have been measured.
    std::vector<TimeRange> stretches;
    carbon::SyncEnergy energy;
    std::optional<carbon::Estimate> grams, grams_at_once, grams_foresight;
    std::optional<Money> money;
};

struct DecisionRow {
    int64_t id = 0;  // given by the store
    Instant at{};
    uint64_t seed = 0;
    std::string job, action, cause, explanation, period, alternatives_json, issues;
    std::optional<Instant> until;
};

// What happened, for event streams, logs and webhooks. Kinds: job.added, job.changed, job.removed, job.paused, job.resumed, run.started, run.progress (not kept), run.suspended,
// run.retrying, run.succeeded, run.failed, run.cancelled, run.skipped, rpo.at_risk, rpo.missed, budget.exceeded, config.loaded.
struct Event {
    int64_t id = 0;  // given by the store, rising
    Instant at{};
    std::string kind, job, body_json;
};

// A webhook's message that waits to be delivered: at least once, in order of ids for each url.
struct OutboxRow {
    int64_t id = 0;  // given by the store
    std::string url;
    int64_t event = 0;  // its Event::id
    std::string body;
    unsigned attempts = 0;
    Instant next_try{};
};

struct StoredJob {
    std::string name, json;  // as parse_job_json() takes it
    Instant added_at{};
};

// Of a decision, for rows and for `plan --json`.
std::string alternatives_json(const std::vector<Alternative>& alternatives);
// The row of a run that begins by this decision.
RunRow run_row(const Decision& decision, Instant now);
DecisionRow decision_row(const Decision& decision, Instant now, uint64_t seed);

}  // namespace hyper::scheduler
