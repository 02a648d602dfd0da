// SPDX-License-Identifier: Apache-2.0
// What a user asks for: jobs, and the rules by which they run. Plain data, as config.h reads it; what happened to a job is in job_state.h.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "carbon/intensity.h"
#include "scheduler/calendar/calendar.h"
#include "scheduler/calendar/duration.h"
#include "scheduler/calendar/windows.h"
#include "scheduler/cost/money.h"

namespace hyper::scheduler {

// When a job is due: by a calendar, or so long after its last run; by neither, it runs whenever its recovery point objective, or a job
// that it comes after, makes it.
struct Schedule {
    std::string text;  // as written: "OnCalendar=*-*-* 01:00", "0 1 * * *", "18h..24h"
    std::optional<Calendar> calendar;
    std::optional<Elastic> elastic;
};

// What happens to a run that has not ended when its window closes.
enum class OnClose { pause, finish };

// Of the times that a calendar named while nothing could run: the newest is made up for, all of them one after the other, or none.
enum class CatchupMode { latest, all, none };
struct Catchup {
    CatchupMode mode = CatchupMode::latest;
    std::optional<Seconds> within;  // what is older is not made up for
};

// A job is due while it runs. allow: every time that was named is run, one after the other, since a volume has one writer.
enum class Overlap { skip, buffer_one, replace, allow };

// How a run went wrong, as far as it matters for trying again.
enum class Failure { unavailable, busy, io, no_space, denied, wrong, killed, hook };
inline constexpr size_t failure_count = 8;

struct Retry {
    unsigned max = 5;  // attempts after the first
    Seconds initial{30};
    double factor = 2;
    Seconds cap{900};
    std::vector<Failure> on{Failure::unavailable, Failure::busy, Failure::io, Failure::killed, Failure::hook};
    Seconds give_up_before_deadline{0};
};

enum class AfterOutcome { success, failure, any };

// The job waits for a run of another one that ended after its own last run began.
struct After {
    std::string job;
    AfterOutcome on = AfterOutcome::success;
    std::optional<Seconds> within;  // that run must not be older
};

// Reads no faster than that while the window is open; the first rule whose window is open counts.
struct BandwidthRule {
    std::string window;  // as in windows.h; empty: always
    uint64_t bytes_per_second = 0;
};

// 0: no limit.
struct ApiCallLimit {
    double per_second = 0;
    uint64_t per_month = 0;
};

struct JobLimits {
    std::vector<BandwidthRule> bandwidth;
    ApiCallLimit api_calls;
};

// Of all jobs together.
struct GlobalLimits {
    unsigned runs = 4, per_source = 2, per_target = 4;  // at a time
    std::vector<BandwidthRule> bandwidth;
    ApiCallLimit api_calls;
    std::string timezone = "UTC";  // of the bandwidth's windows
};

// A weight is the price of a kilogram of CO2 equivalent: with 1 a kilogram counts as a unit of the currency does at cost weight 1.
struct CarbonRule {
    double weight = 1;
    carbon::SignalKind signal = carbon::SignalKind::average;
    std::string source_zone, target_zone;  // as written, for carbon::find_zone(); empty: not known, and not counted
    double min_gain = 0.03;                // share that waiting must save
    bool interrupt = false;                // a run may be paused while the grid is dirtier than later

    // What was written, looked up: the grids' ids, and whose machines these are ("aws", ..., "onprem"), for the energy.
    std::string source_grid, target_grid;
    std::string source_place = "onprem", target_place = "onprem";
};

enum class OnExceed { defer_within_rpo, warn, stop };

struct Budget {
    Money amount;  // a calendar month, in the rule's currency
    OnExceed on_exceed = OnExceed::warn;
};

struct CostRule {
    double weight = 0;
    std::string currency = "EUR";
    std::string from;  // how and where the disk is read, as parse_place() takes it; empty: from a computer's disk, at the place of carbon.source_zone
    std::optional<Budget> budget;
};

struct Hook {
    std::vector<std::string> argv;  // run as it stands, without a shell
    Seconds time_limit{60};
};

// The rules by which a job runs. A job has those of its policy, but for keys that it sets itself.
struct Policy {
    std::optional<Seconds> rpo, rto;
    std::string timezone = "UTC";
    Schedule every;
    std::vector<std::string> allow, deny;  // windows, as written
    OnClose on_close = OnClose::pause;
    Catchup catchup;
    Overlap overlap = Overlap::skip;
    std::vector<After> after;
    Retry retry;
    int priority = 50;  // 0 to 100; larger ones first
    JobLimits limits;
    CarbonRule carbon;
    CostRule cost;
    std::optional<Hook> pre, post;

    // Looked up from what was written.
    std::optional<Windows> windows;  // of allow and deny; nothing if there are none
};

struct Job {
    std::string name;
    std::string source, volume;  // operands of `hyperctl sync`
    std::string policy;          // its name; empty for none
    Policy rules;
    bool paused = false;
};

const char* failure_name(Failure failure);
std::optional<Failure> find_failure(std::string_view name);

// The rate that holds at that time; 0 for no limit. Windows that cannot be read were refused by the configuration.
uint64_t bandwidth_at(const std::vector<BandwidthRule>& rules, const std::string& timezone, Instant now);
// When another rule may hold; nothing if that is more than a day away.
std::optional<Instant> bandwidth_change(const std::vector<BandwidthRule>& rules, const std::string& timezone, Instant now);

}  // namespace hyper::scheduler
