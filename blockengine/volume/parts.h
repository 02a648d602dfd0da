// SPDX-License-Identifier: Apache-2.0
// Going over the blocks of a disk by several threads: in parts, which are handed over in order.
#pragma once

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "blockengine/base/result.h"
#include "blockengine/volume/block_runs.h"
#include "blockengine/volume/merkle.h"

namespace hyper {

// What is hashed and stored together: a block, or the blocks of a leaf where those are smaller.
inline uint64_t unit_bytes_of(uint32_t block_bytes) { return std::max<uint64_t>(block_bytes, leaf_bytes); }

struct Part {
    uint64_t number = 0;
    std::vector<uint64_t> units;  // ascending
};

// Takes runs of blocks apart. Thread-safe.
class PartWalk {
  public:
    PartWalk(const BlockRuns& runs, uint64_t blocks_a_unit, size_t units_a_part, uint64_t first_block)
        : runs_(runs.runs()), blocks_a_unit_(blocks_a_unit), units_a_part_(units_a_part), next_unit_(first_block / blocks_a_unit) {}

    // False when there is none left.
    bool next(Part& part) {
        std::lock_guard lock(mutex_);
        part.units.clear();
        part.number = parts_;
        while (run_ < runs_.size() && part.units.size() < units_a_part_) {
            const BlockRun& run = runs_[run_];
            uint64_t unit = std::max(next_unit_, run.first / blocks_a_unit_);
            if (unit * blocks_a_unit_ >= run.first + run.count) {
                ++run_;
                continue;
            }
            part.units.push_back(unit);
            next_unit_ = unit + 1;
        }
        if (part.units.empty()) return false;
        ++parts_;
        return true;
    }

  private:
    const std::span<const BlockRun> runs_;
    const uint64_t blocks_a_unit_;
    const size_t units_a_part_;
    std::mutex mutex_;
    size_t run_ = 0;            // guarded by mutex_
    uint64_t next_unit_;        // guarded by mutex_
    uint64_t parts_ = 0;        // guarded by mutex_
};

// Thread-safe. One part after the other, by number from 0; after the first error none.
class Turns {
  public:
    // False once there was an error.
    bool wait_for(uint64_t number) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return next_ == number || error_; });
        return !error_;
    }
    void pass() {
        std::lock_guard lock(mutex_);
        ++next_;
        changed_.notify_all();
    }
    void fail_with(Error error) {
        std::lock_guard lock(mutex_);
        if (!error_) error_ = std::move(error);
        changed_.notify_all();
    }
    bool failed() {
        std::lock_guard lock(mutex_);
        return error_.has_value();
    }
    // After all threads have ended.
    const std::optional<Error>& error() const { return error_; }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    uint64_t next_ = 0;           // guarded by mutex_
    std::optional<Error> error_;  // guarded by mutex_
};

// Goes over all parts by `threads` threads, this one among them. Each thread makes a work of its own by `make_work()` and calls its
// `look(part)` for one part after the other; `hand_over(work, part)` is then called by one thread at a time, for the parts in their order.
// `stop` (which may be empty) is asked before each part. Errors: the first of look() and hand_over(); ECANCELED where stop() was true.
template <class MakeWork, class HandOver>
Result<void> go_over_parts(PartWalk& walk, unsigned threads, const std::function<bool()>& stop, const MakeWork& make_work,
                           const HandOver& hand_over) {
    Turns turns;
    auto run = [&] {
        auto work = make_work();
        Part part;
        while (!turns.failed() && walk.next(part)) {
            Result<void> result;
            if (stop && stop()) result = fail(ECANCELED, "interrupted");
            if (result) result = work.look(part);
            if (result && !turns.wait_for(part.number)) return;
            if (result) result = hand_over(work, part);
            if (!result) return turns.fail_with(std::move(result).error());
            turns.pass();
        }
    };
    std::vector<std::thread> others;
    for (unsigned i = 1; i < threads; ++i) others.emplace_back(run);
    run();
    for (std::thread& thread : others) thread.join();
    if (turns.error()) return tl::unexpected(*turns.error());
    return {};
}

}  // namespace hyper
