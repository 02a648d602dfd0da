// SPDX-License-Identifier: Apache-2.0
// Which run of a job is due, or when the next one will be: calendars, elastic schedules, dependencies, catch-up and overlap. Pure.
#pragma once

#include <map>

#include "scheduler/jobs/job_state.h"

namespace hyper::scheduler {

struct Due {
    std::string period;                    // to be served; empty if nothing is due yet
    Instant due{};                         // when it was, or will be, due
    Instant earliest{};                    // it may begin from then on
    std::optional<Instant> period_end;     // by which it is to be whole, but for the rpo, which is another matter
    std::optional<Instant> next;           // without a period: when there will be one
    std::vector<Instant> skipped;          // calendar's times that are not served
    std::optional<Instant> served_until, buffered;  // to be written into the state
    std::string waits_for;                 // a dependency that is not there, in words; empty if all are
    bool replace = false;                  // it runs, and is to end for a newer one
};

// `job` must not be running.
Due find_due(const Job& job, const JobState& state, const std::map<std::string, JobState>& states, Instant now);
// The same of one that runs: only what overlaps it.
Due find_overlap(const Job& job, const JobState& state, Instant now);

// Whether a run of the other job is there that `after` lets `job` begin on.
bool dependency_met(const After& after, const JobState& state, const std::map<std::string, JobState>& states, Instant now);
// The dependency that `job` waits for, in words; empty if it waits for none. `ended`: when the last of those that it waited for ended.
std::string missing_dependency(const Job& job, const JobState& state, const std::map<std::string, JobState>& states, Instant now, Instant& ended);

}  // namespace hyper::scheduler
