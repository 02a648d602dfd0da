// SPDX-License-Identifier: Apache-2.0
// The stored refcounts, against the references that were counted.
#include "convert/qcow2/check.h"

namespace hyper::qcow2 {

Result<void> Checker::check_refcount_table() {
    uint64_t offset = header_.refcount_table_offset, bytes = header_.refcount_table_clusters * cluster_bytes_;
    if (bytes == 0 || bytes > refcount_table_bytes_max) {
        error("refcount_table_clusters", "{} is not within 8 MiB", uint32_t{header_.refcount_table_clusters});
        return {};
    }
    if (!claim("refcount table", Kind::refcount_table, offset, bytes)) return {};
    if (!range_within(offset, bytes, file_.size_bytes())) {
        error("refcount table", "{} bytes at offset {} lie past the end of the file", bytes, offset);
        return {};
    }
    std::vector<be64> table(bytes / 8);
    TRY(file_.read(offset, std::as_writable_bytes(std::span(table))));
    refcount_blocks_.assign(table.begin(), table.end());
    for (uint64_t i = 0; i < refcount_blocks_.size(); ++i) {
        uint64_t& block = refcount_blocks_[i];
        if (block == 0) continue;
        std::string field = fmt::format("refcount table, entry {}", i);
        if (block % sector_bytes != 0) error(field, "0x{:016x}: reserved bits are set", block);
        if (!claim(field, Kind::refcount_block, block, cluster_bytes_) || block + cluster_bytes_ > file_.size_bytes()) block = 0;
    }
    return {};
}

Result<void> Checker::compare_refcounts() {
    const uint64_t per_block = cluster_bytes_ * 8 >> refcount_order_, bits = uint64_t{1} << refcount_order_;
    std::vector<std::byte> block(cluster_bytes_);
    auto compare_with_zero = [&](uint64_t first, uint64_t end) {
        for (uint64_t c = references_->next_counted(first, end); c < end; c = references_->next_counted(c + 1, end))
            compare_one(c, 0);
    };
    for (uint64_t i = 0; i < refcount_blocks_.size(); ++i) {
        const uint64_t cluster = i * per_block;
        if (refcount_blocks_[i] == 0) {
            compare_with_zero(cluster, cluster + per_block);
            continue;
        }
        TRY(file_.read(refcount_blocks_[i], block));
        for (uint64_t j = 0; j < per_block; ++j) {
            uint64_t stored = 0;
            switch (refcount_order_) {
                case 3: stored = static_cast<uint8_t>(block[j]); break;
                case 4: stored = load_be<uint16_t>(block.data() + j * 2); break;
                case 5: stored = load_be<uint32_t>(block.data() + j * 4); break;
                case 6: stored = load_be<uint64_t>(block.data() + j * 8); break;
                default:  // several in a byte, the first in the lowest bits
                    stored = static_cast<uint8_t>(block[j * bits / 8]) >> (j * bits % 8) & ((1u << bits) - 1);
            }
            compare_one(cluster + j, stored);
        }
    }
    compare_with_zero(refcount_blocks_.size() * per_block, references_->cluster_count());
    end_mismatch();
    return {};
}

void Checker::compare_one(uint64_t cluster, uint64_t stored) {
    uint32_t counted = references_->count(cluster);
    if (stored == counted || (counted == ClusterReferences::count_max && stored > counted)) return;
    Mismatch& m = mismatch_;
    if (m.count > 0 && m.first + m.count == cluster && m.stored == stored && m.counted == counted) {
        ++m.count;
        return;
    }
    end_mismatch();
    m = {cluster, 1, stored, counted};
}

void Checker::end_mismatch() {
    const Mismatch& m = mismatch_;
    if (m.count == 0) return;
    std::string field = m.count == 1 ? fmt::format("refcount of cluster {}", m.first)
                                     : fmt::format("refcounts of clusters {}..{}", m.first, m.first + m.count - 1);
    // Too low is damage: the cluster may be given away while in use. Too high only wastes it.
    if (m.stored < m.counted && !has(incompatible_dirty))
        error(field, "{} is stored, {} references are there", m.stored, m.counted);
    else
        report_.warning(field, "{} is stored, {} references are there{}", m.stored, m.counted,
                        m.stored > m.counted ? " (leaked)" : "");
}

}  // namespace hyper::qcow2
