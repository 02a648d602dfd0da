// SPDX-License-Identifier: Apache-2.0
#include "scheduler/planner/capacity.h"

#include <algorithm>
#include <cassert>

namespace hyper::scheduler {

bool Capacity::fits(Instant from, Instant until) const {
    if (from < start_ || from >= until || until > start_ + step_ * free_.size()) return false;
    auto last = free_.begin() + std::ptrdiff_t(index_of(until - Seconds(1)));
    return std::all_of(free_.begin() + std::ptrdiff_t(index_of(from)), last + 1, [](uint32_t runs) { return runs > 0; });
}

void Capacity::take(Instant from, Instant until) {
    assert(fits(from, until));
    for (size_t i = index_of(from); i <= index_of(until - Seconds(1)); i++) free_[i]--;
}

void Capacity::give_back(Instant from, Instant until) {
    for (size_t i = index_of(from); i <= index_of(until - Seconds(1)); i++) free_[i]++;
}

}  // namespace hyper::scheduler
