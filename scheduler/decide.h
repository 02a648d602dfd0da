// SPDX-License-Identifier: Apache-2.0
// What each job does now: run, wait, pause, or end; and why. A pure function of configuration, states, outlooks, sizes, time and seed: no clock is
// read and nothing is drawn, so every decision can be made again from what was written down.
//
//   1. A run must be whole by its deadline: the last success's point in time + rpo. `guard` is kept free before it: what a slow run (95th percentile)
//      takes more, and retries. Where waiting would break that, the job runs at once, whatever carbon, money, budget, windows and
//      limits of runs say; the decision says which of them it went over. What is not gone over: a job that a user paused,
//      and a dependency, since a sync before its time may be worth nothing. These say that the objective is at risk.
//      Where an attempt fails after that, the next one begins while a slow run, or at the very last an expected one, is still whole in time.
//   2. Without rpo the deadline is the end of the period: the calendar's next time, or the elastic schedule's end. It
//      is kept where windows, budgets and limits let it be, and no guard is kept free before it.
//   3. Where the calendar names times too far apart for the rpo, runs are added; where it is close (a period as long as the rpo leaves no time for
//      the run itself), the run is drawn forward.
//   4. A job that never ran counts as if it had been whole when it was first known.
//   5. Where a job with an rpo waits for a new run of another one, that run must be whole by its last start, as by an rpo of its own; and so on, back
//      to the first. That is not so for a run that is to fail, nor for a job that only users start.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "carbon/energy.h"
#include "scheduler/jobs/config.h"
#include "scheduler/jobs/job_state.h"
#include "scheduler/jobs/measure.h"
#include "scheduler/planner/planner.h"

namespace hyper::scheduler {

// What is expected of a zone, and how that is known.
struct ZoneOutlook {
    carbon::StepSeries grams_per_kwh;
    carbon::StepSeries price_per_kwh;  // empty: not known
    std::string price_currency;        // of a job in another one it is no price
    std::string issue;                 // which forecast it is, for the ledger: "electricitymaps 2026-01-01T00:00:00Z"
    std::vector<std::string> notes;    // what people should know of its quality
};

// What was used up this calendar month (UTC).
struct MonthUse {
    std::map<std::string, Money> money;  // by job
    std::map<std::string, uint64_t> api_calls;  // by job
    std::map<std::string, uint64_t> sent_bytes;  // by job, that left its source
};

struct World {
    const Config& config;
    const std::map<std::string, JobState>& states;                          // a job without one is new
    const std::map<std::string, ZoneOutlook>& average, &marginal;           // by zone id
    const std::map<std::string, std::vector<SyncMeasure>>& measures;        // by source
    const std::map<std::string, Money>& costs;                              // of one sync, besides power, by job; where known
    MonthUse used;
    Instant now{};
    uint64_t seed = 0;
};

enum class Action {
    wait,     // until `at`, or until something happens to it
    run,      // begin, or go on with, the run of `period`
    go_on,    // it runs, and may
    suspend,  // it runs, and is to stop and go on at `at`
    cancel,   // it runs, and is to end
    none,     // nothing will make it run
};
const char* action_name(Action action);

enum class Cause {
    due,              // it runs now, or is planned so, for no other reason than that it is due
    not_due,          // the calendar's next time is later
    planned,          // a later start is lighter
    deadline,         // no time is left to wait
    window,           // the window is closed
    limit,            // too many run
    budget,           // the month's money or calls are used up
    dependency,       // waits for another job
    retry,            // waits before it tries again
    user_paused,
    asked,            // a user wants it at once
    replaced,         // overlap = replace
    cancelled,
    nothing,          // neither schedule, rpo nor dependency
};
const char* cause_name(Cause cause);

// A start that was thought of. Grams and money are of the run as expected; not there where nothing is known.
struct Alternative {
    std::string what;  // "now", "planned", "last moment"
    Instant start{};
    std::optional<carbon::Estimate> grams;
    std::optional<Money> money;
    std::string currency;
};

struct Decision {
    std::string job;
    Action action = Action::wait;
    Cause cause = Cause::not_due;
    std::string explanation;     // sentences
    std::optional<Instant> at;   // wait: when it is planned to run, or is to be looked at again; suspend: when it goes on
    std::string period;          // that a run serves
    Instant due{};               // when that was due
    std::optional<Instant> deadline;    // by which a run is to be whole
    std::optional<Instant> last_start;  // the last moment that keeps it
    // When another attempt begins at the latest, should this one fail: with what is kept free, without it, and at the very last; in order of time.
    std::vector<Instant> retry_by;
    bool at_risk = false;        // the rpo cannot be kept, or is not while this waits
    SyncSize size;
    std::vector<Alternative> alternatives;  // "now" first
    std::string issues;          // the forecasts that were used, as ZoneOutlook says
    std::vector<std::string> notes;  // of quality, and of what was gone over
    uint64_t bandwidth_bytes_per_second = 0;  // for a run, also while it goes on; 0: no limit
    std::vector<Instant> skipped;  // due times that are not served, for the log
    std::optional<Instant> served_until, buffered;  // to be written into the state, where set
};

// A decision a job, in order of names.
std::vector<Decision> decide(const World& world);

// The state that a decision makes, to be committed before anything is done; a `run` becomes after_start().
JobState after_decision(JobState state, const Decision& decision, Instant now);

// When decide() is next to be called though nothing happens.
std::optional<Instant> next_wake(const std::vector<Decision>& decisions, Instant now);

// Energy and emissions of a run as expected or as measured: power is spread evenly over it. `zone` of either end may be unknown.
Result<carbon::SyncEnergy> energy_of_run(const Job& job, uint64_t bytes, double seconds);

}  // namespace hyper::scheduler
