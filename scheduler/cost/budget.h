// SPDX-License-Identifier: Apache-2.0
// What a job may cost in a calendar month (UTC). A pure function: what was spent is the caller's to know.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "blockengine/base/instant.h"
#include "scheduler/cost/money.h"

namespace hyper::scheduler {

enum class OnExceed {
    defer_within_rpo,  // until the next month begins, but never past the last moment that keeps the recovery point objective
    warn,              // runs all the same, and says so
    stop,              // does not run before the next month begins, whatever that means for the objective: only where it was asked for
};
// "defer-within-rpo", "warn", "stop". EINVAL for others.
Result<OnExceed> parse_on_exceed(std::string_view text);

struct Budget {
    Money amount;  // a month
    std::string currency;
    OnExceed on_exceed = OnExceed::defer_within_rpo;
};

struct BudgetQuestion {
    Money spent;     // this month, by this account
    Money expected;  // for the run; below 0 is legal
    std::string currency;
    Instant now;
    Instant last_start;  // the last moment to begin and keep the objective
};

enum class BudgetVerdict { allow, defer, stop };

struct BudgetAnswer {
    BudgetVerdict verdict = BudgetVerdict::allow;
    std::optional<Instant> until = {};  // of defer and stop: when to ask again; after now
    bool exceeded = false;
    std::string reason;  // a sentence, for people
};

// EINVAL where the currencies differ: nothing is converted.
Result<BudgetAnswer> judge_budget(const Budget& budget, const BudgetQuestion& question);

// When the calendar month after that of `now` begins, in UTC.
Instant next_month(Instant now);

}  // namespace hyper::scheduler
