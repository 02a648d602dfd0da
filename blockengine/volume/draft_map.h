// SPDX-License-Identifier: Apache-2.0
// Which sectors of a disk a draft has: the map in memory. Its log is draft_log.h.
//
// Design note. Two bits a sector, in a tree: chunks of 1 MiB of the disk, groups of 128 MiB, regions of 16 GiB. What is of one
// state throughout is one value at the highest level it fills, so that a disk of 64 TiB with nothing written takes 64 KiB,
// and memory grows with what is mixed: about 100 bytes for a mixed MiB.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace hyper {

inline constexpr uint64_t draft_sector_bytes = 4096;

// As stored in the log.
enum class SectorState : uint8_t {
    absent = 0,  // reads from the draft's base
    data = 1,    // in the draft's file
    zero = 2,
};

struct SectorRun {
    uint64_t first = 0, count = 0;
    SectorState state = SectorState::absent;
    bool operator==(const SectorRun&) const = default;
};

// Thread-safe. No call waits for a disk.
class DraftMap {
  public:
    explicit DraftMap(uint64_t sectors);
    ~DraftMap();

    uint64_t sectors() const { return sectors_; }
    // [first, first + count) lies within the disk, here and below. Sectors never become absent again.
    void mark(uint64_t first, uint64_t count, SectorState state);
    SectorState at(uint64_t sector) const;
    // Fills `out` with the runs of [first, first + count) in order, neighbours of one state merged, and returns how many there
    // are. They cover all of it, or as much as fits. count > 0.
    size_t runs(uint64_t first, uint64_t count, std::span<SectorRun> out) const;
    // Calls `visit` for all runs of the disk that are not absent, in order, until it answers false. What is marked meanwhile
    // may be seen or not.
    void visit_changed(const std::function<bool(const SectorRun&)>& visit) const;

    // What was marked since the last call, as it is now, in order. Where that is more than changes_max runs, `all` is true and
    // any sector may have changed.
    static constexpr size_t changes_max = 1 << 19;
    struct Changes {
        bool all = false;
        std::vector<SectorRun> runs;
        bool empty() const { return !all && runs.empty(); }
    };
    Changes take_changes();
    // They could not be used: the next take_changes() gives them again.
    void put_back(const Changes& changes);

  private:
    struct Tree;
    static constexpr size_t pending_max = changes_max / 2;

    void add_pending(uint64_t first, uint64_t count);

    const uint64_t sectors_;
    mutable std::mutex mutex_;
    std::unique_ptr<Tree> tree_;      // guarded by mutex_
    std::vector<SectorRun> pending_;  // guarded by mutex_; their states say nothing
    bool all_pending_ = false;        // guarded by mutex_
};

}  // namespace hyper
