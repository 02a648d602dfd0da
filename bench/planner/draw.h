// SPDX-License-Identifier: Apache-2.0
// Draws that are the same on every machine, which those of <random>'s distributions are not.
#pragma once

#include "scheduler/planner/seed.h"

namespace hyper::figures {

class Draw {
  public:
    explicit Draw(uint64_t seed) : state_(scheduler::mix(seed)) {}

    // 0 .. count - 1.
    uint32_t below(uint32_t count) { return uint32_t((next() >> 32) * count >> 32); }
    int between(int low, int high) { return low + int(below(uint32_t(high - low + 1))); }
    // From 0 on, below 1.
    double share() { return double(next() >> 11) * 0x1p-53; }
    double between(double low, double high) { return low + (high - low) * share(); }
    bool chance(double of) { return share() < of; }

  private:
    uint64_t next() { return scheduler::mix(state_++); }

    uint64_t state_;
};

}  // namespace hyper::figures
