// SPDX-License-Identifier: Apache-2.0
// A replay: jobs meet a trace of intensities on a virtual clock, through the same decide() and the same changes of state that hyperd uses. Everything
// follows from the input and the seed.
//
// decide() sees of the trace what had been measured by then, and the forecasts that had been issued; runs are settled with the whole trace.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "scheduler/decide.h"

namespace hyper::scheduler {

struct IssuedForecast {
    Instant issued_at{};
    carbon::StepSeries grams_per_kwh;
};

struct PowerPrice {
    carbon::StepSeries per_kwh;
    std::string currency;
};

struct Trace {
    std::map<std::string, carbon::StepSeries> measured;                  // by zone, in g/kWh
    std::map<std::string, std::vector<IssuedForecast>> forecasts;        // by zone, in order of time; none: the profile is what decides
    std::map<std::string, PowerPrice> prices;                            // by zone
};

struct SimulateOptions {
    Instant from{}, until{};
    uint64_t seed = 1;
    // How long a sync takes a day after the last one, in proportion to that time, and what share of it may come on top or be missing. The first one
    // takes four times as long, and no later one longer than that.
    Seconds length{3600};
    double spread = 0.2;
    double failing = 0;               // share of attempts that fail in their middle
    std::vector<TimeRange> outages;   // when neither hyperd nor a sync runs
    std::map<std::string, std::vector<SyncMeasure>> measures;  // what is known of disks at the beginning
};

struct SimulatedRun {
    std::string job, period, cause;
    Instant earliest{};  // from which on it could have run
    std::optional<Instant> deadline;
    std::vector<TimeRange> stretches;
    unsigned attempts = 0;
    bool succeeded = false;
    // In grams, middle estimates; nothing where the trace does not tell.
    std::optional<double> grams, at_once, foresight;
    std::optional<Money> money;
};

struct SimulatedJob {
    size_t runs = 0, failed = 0, skipped = 0, rpo_misses = 0, suspensions = 0, settled = 0;
    double hours = 0, grams = 0, at_once = 0, foresight = 0;  // grams of the runs that are settled
    std::optional<Money> money;
    std::string currency;
};

struct Simulated {
    std::vector<SimulatedRun> runs;  // in order of their ends
    std::map<std::string, SimulatedJob> jobs;
    SimulatedJob total;
    size_t decisions = 0;  // how often decide() was asked
};

// Share of what perfect foresight would have saved; nothing where there was nothing to save.
std::optional<double> share_of_foresight(const SimulatedJob& job);

// EINVAL where the time is empty.
Result<Simulated> simulate(const Config& config, const Trace& trace, const SimulateOptions& options);

// How a run would have been settled: run at once, and by who knew the trace. `earliest` and `deadline` bound both; windows hold.
struct Settled {
    std::optional<double> grams, at_once, foresight;
};
Settled settle(const Job& job, const World& truth, const std::vector<TimeRange>& stretches, uint64_t bytes, Instant earliest, std::optional<Instant> deadline);

}  // namespace hyper::scheduler
