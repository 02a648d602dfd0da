// SPDX-License-Identifier: Apache-2.0
// Which generations stay, by rules as restic has them, and, with a difference, borg and Proxmox
// Backup Server.
//
// keep_daily = 7 keeps the newest generation of each of the last 7 days *that have one*; days
// without any do not count, and so for hours, ISO weeks (Monday to Sunday), months and years. All
// in UTC, so that the same rules keep the same anywhere. The newest generation and pinned ones
// always stay. Each rule counts by itself, so one generation may stay for several reasons; borg and
// Proxmox count for a rule only what no finer one keeps. Nor is the oldest kept where a rule finds
// too little, as in newer versions of restic.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "blockengine/base/result.h"

namespace hyper {

struct RetentionRules {
    uint32_t keep_last = 0, keep_hourly = 0, keep_daily = 0, keep_weekly = 0, keep_monthly = 0,
             keep_yearly = 0;
    bool operator==(const RetentionRules&) const = default;
};

// "last=7,daily=14,weekly=8": each of last, hourly, daily, weekly, monthly and yearly at most once,
// in any order, with a number from 1 to 4294967295. Errors: EINVAL, naming what is wrong; also for
// an empty text, since it would keep the newest only.
Result<RetentionRules> parse_retention(std::string_view text);
// In the order above, without zeros; "" where all are.
std::string format_retention(const RetentionRules& rules);

struct RetentionInput {
    uint32_t number;  // of the generation; of two of the same time the higher is the newer
    int64_t time_s;   // since 1970-01-01T00:00:00Z
    bool pinned = false;
};

struct RetentionVerdict {
    uint32_t number;
    bool keep = false;
    // "newest", "pinned", "last", "hourly", ..., in this order; empty where it does not stay.
    std::vector<std::string_view> reasons;
};

// A verdict for each, in the order given. Numbers are unique.
std::vector<RetentionVerdict> judge_retention(const RetentionRules& rules,
                                              std::span<const RetentionInput> generations);

// The same where generations are made one after another, each newer than those before and none
// pinned, and what does not stay goes at once. A rule takes the newest of its last periods, and
// those have stayed: so a new one costs no more where many stay than where few do.
class RetentionWalk {
  public:
    explicit RetentionWalk(const RetentionRules& rules);
    // The numbers of those that go now.
    std::vector<uint32_t> add(const RetentionInput& generation);

  private:
    struct Taken {
        int64_t (*period_of)(int64_t time_s);
        uint32_t count_max;
        int64_t period = 0;             // of the newest
        std::deque<uint32_t> numbers{};  // oldest first
    };
    std::vector<Taken> rules_;
    std::map<uint32_t, unsigned> takers_;  // of each that stays
};

}  // namespace hyper
