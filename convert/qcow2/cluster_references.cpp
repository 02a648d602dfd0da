// SPDX-License-Identifier: Apache-2.0
#include "convert/qcow2/cluster_references.h"

#include <algorithm>

#include "blockengine/base/bytes.h"

namespace hyper::qcow2 {

ClusterReferences::ClusterReferences(uint64_t cluster_count)
    : cluster_count_(cluster_count), chunks_(divide_up(cluster_count, chunk_clusters)) {}

uint64_t ClusterReferences::clusters_in(uint64_t chunk) const {
    return std::min(chunk_clusters, cluster_count_ - chunk * chunk_clusters);
}

void ClusterReferences::add(uint64_t cluster, uint32_t times) {
    if (overflowed_) return;
    Chunk& chunk = chunks_[cluster / chunk_clusters];
    if (!chunk.counts) {
        if (unfolded_ == unfolded_chunks_max) {
            overflowed_ = true;
            return;
        }
        ++unfolded_;
        chunk.counts = std::make_unique<uint16_t[]>(chunk_clusters);
        if (chunk.all_one) std::fill_n(chunk.counts.get(), clusters_in(cluster / chunk_clusters), uint16_t{1});
        chunk.all_one = false;
    }
    uint16_t& count = chunk.counts[cluster % chunk_clusters];
    chunk.ones -= count == 1;
    count = static_cast<uint16_t>(std::min<uint64_t>(uint64_t{count} + times, count_max));
    chunk.ones += count == 1;
    if (chunk.ones == clusters_in(cluster / chunk_clusters)) {
        chunk.all_one = true;
        chunk.counts.reset();
        --unfolded_;
    }
}

uint32_t ClusterReferences::count(uint64_t cluster) const {
    if (cluster >= cluster_count_) return 0;
    const Chunk& chunk = chunks_[cluster / chunk_clusters];
    if (chunk.counts) return chunk.counts[cluster % chunk_clusters];
    return chunk.all_one ? 1 : 0;
}

uint64_t ClusterReferences::next_counted(uint64_t cluster, uint64_t end) const {
    while (cluster < std::min(end, cluster_count_)) {
        const Chunk& chunk = chunks_[cluster / chunk_clusters];
        if (!chunk.counts && !chunk.all_one)
            cluster = (cluster / chunk_clusters + 1) * chunk_clusters;
        else if (count(cluster) > 0)
            return cluster;
        else
            ++cluster;
    }
    return end;
}

}  // namespace hyper::qcow2
