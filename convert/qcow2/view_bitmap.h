// SPDX-License-Identifier: Apache-2.0
// The persistent bitmap of a view: directory, table and data, one after the other, each from the start of a cluster on.
//
//     directory, of one entry | table | those data clusters that are not all clean
//
// A bit stands for 64 KiB of the disk. The bitmap is not enabled: it tells what changed between two states, and no writer is to add to it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "blockengine/allocation_index.h"
#include "convert/qcow2/format.h"

namespace hyper::qcow2 {

// Immutable; thread-safe.
class ViewBitmap {
  public:
    static constexpr uint8_t granularity_bits = 16;

    // `runs`, which are dirty, as ChangeMap::changed_since() gives them.
    ViewBitmap(std::string name, uint64_t disk_bytes, std::span<const ChangedRun> runs, uint64_t cluster_bytes);

    uint64_t cluster_count() const { return directory_clusters_ + table_clusters_ + stored_.size(); }
    // What the header says of it, when it begins at `place` in the file.
    BitmapsExtension extension(uint64_t place) const;
    // Its bytes from `offset` (within it) on. `out` does not go past its end.
    void produce(uint64_t place, uint64_t offset, std::span<std::byte> out) const;

  private:
    uint64_t directory_bytes() const { return round_up(sizeof(BitmapDirectoryEntry) + name_.size(), 8); }
    uint64_t units_per_cluster() const { return cluster_bytes_ * 8; }
    void produce_directory(uint64_t place, uint64_t offset, std::span<std::byte> out) const;
    void produce_table(uint64_t place, uint64_t offset, std::span<std::byte> out) const;
    void produce_data(uint64_t offset, std::span<std::byte> out) const;

    std::string name_;
    uint64_t cluster_bytes_;
    std::shared_ptr<const AllocationIndex> dirty_;  // units of 64 KiB
    uint64_t table_entries_, directory_clusters_, table_clusters_;
    std::vector<uint32_t> stored_;  // the table entries whose data clusters are there, ascending
};

}  // namespace hyper::qcow2
