// SPDX-License-Identifier: Apache-2.0
// How often each cluster of a file is referred to: the checker's own count, to compare the stored refcounts with.
//
// Design note. Counts are 16 bits, in chunks of 32768 clusters that are made when first touched. A chunk whose counts
// are all 1, which is what a file without snapshots ends up with, is folded into a flag. Files are mostly
// laid out in guest order, so few chunks are unfolded at a time; their number is limited.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace hyper::qcow2 {

// Bound to one thread.
class ClusterReferences {
  public:
    static constexpr uint64_t cluster_count_max = uint64_t{1} << 34;  // 16 MiB of chunk heads
    static constexpr uint64_t unfolded_chunks_max = 1536;             // 96 MiB
    static constexpr uint32_t count_max = 65535;                      // counts stay there

    // cluster_count <= cluster_count_max.
    explicit ClusterReferences(uint64_t cluster_count);

    // Adds `times` to a cluster of the file. After overflowed() it is without effect.
    void add(uint64_t cluster, uint32_t times);
    uint32_t count(uint64_t cluster) const;  // 0 past the file's end
    // The first cluster of [cluster, end) that is referred to; `end` where there is none. Untouched chunks cost nothing.
    uint64_t next_counted(uint64_t cluster, uint64_t end) const;
    uint64_t cluster_count() const { return cluster_count_; }
    // The limit of unfolded chunks was reached: counts are no longer complete.
    bool overflowed() const { return overflowed_; }

  private:
    static constexpr uint64_t chunk_clusters = 32768;
    struct Chunk {
        std::unique_ptr<uint16_t[]> counts;
        uint32_t ones = 0;  // counts that are 1
        bool all_one = false;
    };

    uint64_t clusters_in(uint64_t chunk) const;

    uint64_t cluster_count_;
    std::vector<Chunk> chunks_;
    uint64_t unfolded_ = 0;
    bool overflowed_ = false;
};

}  // namespace hyper::qcow2
