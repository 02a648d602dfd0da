// SPDX-License-Identifier: Apache-2.0
// Which units (clusters, grains, blocks) of a source hold data, and how many come before a given one:
// the index from which a compact image layout is computed.
//
// Design note. A compact layout stores the allocated units one after the other in guest order, so the place
// of unit u is rank(u), and the unit at place k is select(k). Both are answered from a bitmap that is kept in chunks of
// 32768 units; a chunk that is all data or all hole stores no bits. So the memory is 32 bytes a chunk,
// plus 4 KiB for each mixed chunk: for 64 TiB in 64 KiB units at most 129 MiB, and 1 MiB for a full or empty disk.
// The index is the frozen answer to "what is allocated": it is taken once, when a view is opened.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "blockengine/base/result.h"
#include "blockengine/change_map.h"
#include "blockengine/source.h"

namespace hyper {

// Immutable after build; thread-safe.
class AllocationIndex {
  public:
    // One pass over the source's extents. A unit counts as allocated when any byte of it is not known to be zero.
    static Result<std::shared_ptr<const AllocationIndex>> build(const Source& source, uint64_t unit_bytes);
    // The same of those units only that the runs (ascending, within the source) touch.
    static Result<std::shared_ptr<const AllocationIndex>> build(const Source& source, std::span<const ChangedRun> runs,
                                                                uint64_t unit_bytes);
    // The units that the runs touch, whatever they hold.
    static std::shared_ptr<const AllocationIndex> touched(uint64_t size_bytes, std::span<const ChangedRun> runs, uint64_t unit_bytes);

    uint64_t unit_bytes() const { return unit_bytes_; }
    uint64_t unit_count() const { return unit_count_; }  // the last one may be partial
    uint64_t allocated_count() const { return allocated_count_; }

    bool allocated(uint64_t unit) const;
    // Allocated units before `unit`; `unit` may be unit_count().
    uint64_t rank(uint64_t unit) const;
    // The allocated unit with rank `place`; place < allocated_count().
    uint64_t select(uint64_t place) const;
    // How many units from `unit` on are of the same kind as it is, at most `limit`.
    uint64_t run_length(uint64_t unit, uint64_t limit) const;

  private:
    static constexpr uint64_t chunk_units = 32768;
    static constexpr uint64_t words_per_chunk = chunk_units / 64;
    enum class Kind : uint8_t { empty, full, mixed };
    struct Chunk {
        uint64_t rank = 0;  // allocated units before the chunk
        std::unique_ptr<uint64_t[]> words;  // only when mixed
        Kind kind = Kind::empty;
    };

    AllocationIndex(uint64_t unit_bytes, uint64_t unit_count);
    void mark(uint64_t first_unit, uint64_t count);
    void finish();
    uint64_t units_in(uint64_t chunk) const;

    uint64_t unit_bytes_, unit_count_;
    uint64_t allocated_count_ = 0;
    std::vector<Chunk> chunks_;
};

// Maps [offset, offset + length) of what a compact layout stores: the allocated units of `disk`, one after the other in
// guest order, the last one filled up with zeros where the disk ends within it. The range lies within them.
Result<void> map_allocated(const Source& disk, const AllocationIndex& index, uint64_t offset, uint64_t length,
                           PieceList& out);

}  // namespace hyper
