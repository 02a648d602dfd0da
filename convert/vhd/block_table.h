// SPDX-License-Identifier: Apache-2.0
// The block allocation table (BAT) of a dynamic or differencing VHD, and the sector bitmaps of its blocks.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "blockengine/engine.h"
#include "convert/vhd/layout.h"

namespace hyper::vhd {

// Immutable but for what it remembers of bitmaps; thread-safe. Memory: 5 bytes a block.
class BlockTable {
  public:
    // Reads the table and checks that every block lies within [0, data_end) of the file and over nothing else.
    // Errors: EINVAL, naming the field; EIO.
    static Result<BlockTable> load(Engine& engine, std::shared_ptr<const File> file, const DynamicHeader& header,
                                   uint64_t header_offset, uint64_t disk_size, uint64_t data_end);

    uint64_t block_bytes() const { return block_bytes_; }
    uint64_t memory_bytes() const { return entries_.size() * (sizeof entries_[0] + sizeof known_full_[0]); }
    uint64_t allocated_count() const { return allocated_count_; }
    bool allocated(uint64_t block) const { return entries_[block] != block_absent; }
    // How many blocks from `block` on are absent, at most `limit`; 0 if it is allocated.
    uint64_t absent_run(uint64_t block, uint64_t limit) const;
    // The place in the file of an allocated block's data.
    uint64_t data_offset(uint64_t block) const;

    // The sector bitmap of an allocated block: which of its sectors are in this file. nullptr stands for all ones, which
    // is remembered, so that most blocks' bitmaps are read once.
    Result<std::shared_ptr<const Bytes>> bitmap(uint64_t block) const;
    // Bit `sector` of a bitmap; the first is the highest of its byte.
    static bool has_sector(const Bytes& bitmap, uint64_t sector) {
        return (std::to_integer<unsigned>(bitmap[sector / 8]) >> (7 - sector % 8) & 1) != 0;
    }

  private:
    BlockTable(Engine& engine, std::shared_ptr<const File> file, uint64_t disk_size, uint32_t block_bytes)
        : engine_(&engine), file_(std::move(file)), disk_size_(disk_size), block_bytes_(block_bytes) {}
    Result<void> check_places(uint64_t header_offset, uint64_t table_offset, uint64_t data_end);
    Result<void> check_overlaps(std::vector<uint32_t> places) const;
    // Bytes of the disk in a block: fewer in the last one.
    uint64_t bytes_in(uint64_t block) const { return std::min(block_bytes_, disk_size_ - block * block_bytes_); }

    Engine* engine_;
    std::shared_ptr<const File> file_;
    uint64_t disk_size_, block_bytes_;
    uint64_t allocated_count_ = 0;
    std::vector<uint32_t> entries_;  // sector numbers, in the host's byte order
    mutable std::vector<std::atomic<bool>> known_full_;
};

}  // namespace hyper::vhd
