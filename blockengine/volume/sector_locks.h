// SPDX-License-Identifier: Apache-2.0
// Keeps requests apart that change the same sectors, where order matters.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

namespace hyper {

// Thread-safe. A range is held from enter() to leave(), which may be called by different threads. Ranges that overlap are held at
// once only if none of them is exclusive. Nobody who holds a range may enter another, so it cannot get stuck. What
// overlaps is rare, since sane clients do not write one sector twice at a time: there is no queue, and no fairness.
class SectorLocks {
  public:
    // false where it would have to wait and must not.
    bool enter(uint64_t first, uint64_t count, bool exclusive, bool may_wait);
    // Of a range that was entered so.
    void leave(uint64_t first, uint64_t count);

  private:
    struct Held {
        uint64_t first, count;
        bool exclusive;
    };

    std::mutex mutex_;
    std::condition_variable left_;
    std::vector<Held> held_;  // guarded by mutex_; as many as there are requests under way
    unsigned waiting_ = 0;    // guarded by mutex_
};

}  // namespace hyper
