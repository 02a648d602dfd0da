// SPDX-License-Identifier: Apache-2.0
// What changed of a disk since an earlier state, as a disk of its own: bytes where it changed, holes everywhere else.
//
// Design note. Who applies a delta writes all that is data, and leaves alone what is a hole. So what became zeros is data (bytes that
// are zero) and no hole. And a part of unit_bytes of which anything changed is data throughout, in its later state, since
// nbdcopy (of libnbd 1.14) copies whole requests of that size at such offsets, and the holes in them as zeros.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "blockengine/allocation_index.h"
#include "blockengine/change_map.h"
#include "blockengine/source.h"

namespace hyper {

// Immutable; thread-safe.
class DeltaSource : public Source, public Producer, public std::enable_shared_from_this<DeltaSource> {
  public:
    static constexpr uint64_t unit_bytes = 256 << 10;

    // `changed`: as ChangeMap::changed_since() gives it. `disk` knows by its pieces what is zero: it is not made of files with holes.
    static std::shared_ptr<const DeltaSource> make(std::shared_ptr<const Source> disk, std::vector<ChangedRun> changed) {
        return std::shared_ptr<const DeltaSource>(new DeltaSource(std::move(disk), std::move(changed)));
    }

    // The disk in its later state.
    const std::shared_ptr<const Source>& disk() const { return disk_; }
    // Exactly, not in whole units.
    std::span<const ChangedRun> changed() const { return changed_; }

    uint64_t size_bytes() const override { return disk_->size_bytes(); }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override;
    // Zeros.
    Result<void> produce(uint64_t offset, std::span<std::byte> out) const override;

  private:
    DeltaSource(std::shared_ptr<const Source> disk, std::vector<ChangedRun> changed)
        : disk_(std::move(disk)), changed_(std::move(changed)),
          units_(AllocationIndex::touched(disk_->size_bytes(), changed_, unit_bytes)) {}
    Result<void> map_changed(uint64_t offset, uint64_t length, PieceList& out) const;

    std::shared_ptr<const Source> disk_;
    std::vector<ChangedRun> changed_;
    std::shared_ptr<const AllocationIndex> units_;  // with changes
};

}  // namespace hyper
