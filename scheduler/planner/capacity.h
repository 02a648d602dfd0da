// SPDX-License-Identifier: Apache-2.0
// How many runs fit at a time: at one source, one target, or in all. Bound to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "blockengine/base/instant.h"

namespace hyper::scheduler {

class Capacity {
  public:
    // `runs_max` at a time over [start, start + step * steps). Outside nothing fits.
    Capacity(Instant start, Seconds step, size_t steps, uint32_t runs_max) : start_(start), step_(step), free_(steps, runs_max) {}

    // Whether one more run fits over [from, until). A step that a run touches counts whole.
    bool fits(Instant from, Instant until) const;
    // fits(from, until) must hold.
    void take(Instant from, Instant until);
    void give_back(Instant from, Instant until);

  private:
    size_t index_of(Instant instant) const { return static_cast<size_t>((instant - start_) / step_); }

    Instant start_;
    Seconds step_;
    std::vector<uint32_t> free_;
};

}  // namespace hyper::scheduler
