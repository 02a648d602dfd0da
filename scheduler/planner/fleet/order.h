// SPDX-License-Identifier: Apache-2.0
// In which order a fleet's jobs are placed, and what they wait for. Immutable, so thread-safe.
#pragma once

#include "scheduler/planner/fleet/frame.h"

namespace hyper::scheduler {

// For each job a list of others.
class JobLists {
  public:
    JobLists() = default;
    // `pairs(visit)` calls visit(of, other) for each; it is called twice.
    template <class Pairs>
    JobLists(size_t count, const Pairs& pairs) : begin_(count + 1) {
        pairs([&](uint32_t of, uint32_t) { begin_[of + 1]++; });
        for (size_t i = 0; i < count; i++) begin_[i + 1] += begin_[i];
        others_.resize(begin_.back());
        std::vector<uint32_t> next(begin_.begin(), begin_.end() - 1);
        pairs([&](uint32_t of, uint32_t other) { others_[next[of]++] = other; });
    }

    std::span<const uint32_t> of(uint32_t job) const {
        if (begin_.empty()) return {};
        return {others_.data() + begin_[job], others_.data() + begin_[job + 1]};
    }

    void expect(uint32_t job) const {
        if (!begin_.empty()) __builtin_prefetch(&begin_[job]);
    }

  private:
    std::vector<uint32_t> begin_, others_;
};

class FleetOrder {
  public:
    // EINVAL where jobs wait for each other.
    static Result<FleetOrder> make(const Fleet& fleet, const Frame& frame);

    const std::vector<uint32_t>& jobs() const { return order_; }
    // By when a job must have ended, so that it and all that wait for it can keep their deadlines.
    int64_t until(uint32_t job) const { return until_[job]; }
    void expect(uint32_t job) const { __builtin_prefetch(&until_[job]), before_.expect(job), behind_.expect(job); }
    std::span<const uint32_t> before(uint32_t job) const { return before_.of(job); }
    std::span<const uint32_t> behind(uint32_t job) const { return behind_.of(job); }

  private:
    std::vector<uint32_t> order_;
    std::vector<int64_t> until_;
    JobLists before_, behind_;  // empty where there are no dependencies
};

}  // namespace hyper::scheduler
