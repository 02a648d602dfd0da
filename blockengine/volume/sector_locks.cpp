// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/sector_locks.h"

#include <algorithm>

namespace hyper {

bool SectorLocks::enter(uint64_t first, uint64_t count, bool exclusive, bool may_wait) {
    auto in_the_way = [&](const Held& other) {
        return (exclusive || other.exclusive) && first < other.first + other.count && other.first < first + count;
    };
    std::unique_lock lock(mutex_);
    while (std::ranges::any_of(held_, in_the_way)) {
        if (!may_wait) return false;
        ++waiting_;
        left_.wait(lock);
        --waiting_;
    }
    held_.push_back({first, count, exclusive});
    return true;
}

void SectorLocks::leave(uint64_t first, uint64_t count) {
    std::lock_guard lock(mutex_);
    auto mine = std::ranges::find_if(
        held_, [&](const Held& held) { return held.first == first && held.count == count; });
    *mine = held_.back();
    held_.pop_back();
    if (waiting_ > 0) left_.notify_all();
}

}  // namespace hyper
