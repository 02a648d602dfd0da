// SPDX-License-Identifier: Apache-2.0
// A generation of a volume as a source.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "blockengine/source.h"
#include "blockengine/volume/volume.h"

namespace hyper {

// Keeps cursors over the index as it was when they were made, which is good for ever: what a generation is made of changes only
// when it is pruned.
class GenerationSource : public Source {
  public:
    GenerationSource(std::shared_ptr<const Volume> volume, uint32_t generation, uint64_t size_bytes)
        : volume_(std::move(volume)), generation_(generation), size_bytes_(size_bytes) {}

    uint64_t size_bytes() const override { return size_bytes_; }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override;

  private:
    static constexpr size_t cursors_kept_max = 8;

    Result<void> map_with(BlockCursor& cursor, uint64_t offset, uint64_t length, PieceList& out) const;
    Result<void> map_block(const BlockCursor::Found& found, uint64_t skip, uint64_t length, PieceList& out) const;

    std::shared_ptr<const Volume> volume_;
    uint32_t generation_;
    uint64_t size_bytes_;
    mutable std::mutex mutex_;
    mutable std::vector<std::unique_ptr<BlockCursor>> cursors_;  // guarded by mutex_
};

}  // namespace hyper
