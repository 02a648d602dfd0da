// SPDX-License-Identifier: Apache-2.0
#include "scheduler/jobs/job.h"

#include <array>

namespace hyper::scheduler {
namespace {

constexpr std::array<const char*, failure_count> failure_names{"unavailable", "busy", "io", "no-space", "denied", "wrong", "killed", "hook"};

}  // namespace

const char* failure_name(Failure failure) {
    return failure_names[static_cast<size_t>(failure)];
}

std::optional<Failure> find_failure(std::string_view name) {
    for (size_t i = 0; i < failure_count; i++)
        if (name == failure_names[i]) return static_cast<Failure>(i);
    return std::nullopt;
}

uint64_t bandwidth_at(const std::vector<BandwidthRule>& rules, const std::string& timezone, Instant now) {
    for (const BandwidthRule& rule : rules) {
        if (rule.window.empty()) return rule.bytes_per_second;
        auto zone = TimeZone::find(timezone);
        if (!zone) continue;
        auto windows = Windows::parse(std::span(&rule.window, 1), {}, *zone);
        if (windows && windows->open(now)) return rule.bytes_per_second;
    }
    return 0;
}

std::optional<Instant> bandwidth_change(const std::vector<BandwidthRule>& rules, const std::string& timezone, Instant now) {
    std::optional<Instant> first;
    auto zone = TimeZone::find(timezone);
    for (const BandwidthRule& rule : rules) {
        if (rule.window.empty() || !zone) break;
        auto windows = Windows::parse(std::span(&rule.window, 1), {}, *zone);
        auto change = windows ? windows->next_change(now, std::chrono::days(1)) : std::nullopt;
        if (change && (!first || *change < *first)) first = change;
    }
    return first;
}

}  // namespace hyper::scheduler
