// SPDX-License-Identifier: Apache-2.0
#include "convert/qcow2/layout.h"

#include <bit>
#include <cerrno>

#include "blockengine/base/bytes.h"
#include "convert/qcow2/format.h"

namespace hyper::qcow2 {

uint32_t Layout::cluster_bits() const { return static_cast<uint32_t>(std::countr_zero(cluster_bytes)); }

Result<uint64_t> Layout::l1_entries_of(std::string_view name, uint64_t disk_bytes, uint64_t cluster_bytes) {
    if (!std::has_single_bit(cluster_bytes) || cluster_bytes < uint64_t{1} << cluster_bits_min ||
        cluster_bytes > uint64_t{1} << cluster_bits_max)
        return fail(EINVAL, "{}: cluster_size: {} is not a power of two within 512..2097152", name, cluster_bytes);
    if (disk_bytes > disk_bytes_max) return fail(EFBIG, "{}: a disk of {} bytes is larger than 64 TiB", name, disk_bytes);
    uint64_t entries = divide_up(disk_bytes, l2_entries(cluster_bytes) * cluster_bytes);
    if (entries * 8 > l1_bytes_max)
        return fail(EFBIG, "{}: a disk of {} bytes in clusters of {} takes an L1 table of {} bytes, over 32 MiB (use a "
                    "larger cluster_size)", name, disk_bytes, cluster_bytes, entries * 8);
    return entries;
}

Result<Layout> Layout::compute(std::string_view name, uint64_t disk_bytes, uint64_t cluster_bytes,
                               uint64_t l2_table_count, uint64_t bitmap_cluster_count, uint64_t data_cluster_count) {
    Layout layout;
    layout.cluster_bytes = cluster_bytes;
    layout.disk_bytes = disk_bytes;
    layout.l1_entries = TRY(l1_entries_of(name, disk_bytes, cluster_bytes));
    const uint64_t l1_clusters = divide_up(layout.l1_bytes(), cluster_bytes);
    const uint64_t counted = 1 + l1_clusters + l2_table_count + bitmap_cluster_count + data_cluster_count;
    const uint64_t refcounts_per_block = cluster_bytes / 2;
    uint64_t table_clusters = 0, blocks = 0;
    for (;;) {
        layout.cluster_count = counted + table_clusters + blocks;
        uint64_t blocks_needed = divide_up(layout.cluster_count, refcounts_per_block);
        uint64_t table_needed = divide_up(blocks_needed * 8, cluster_bytes);
        if (blocks_needed == blocks && table_needed == table_clusters) break;
        blocks = blocks_needed;
        table_clusters = table_needed;
    }
    if (table_clusters * cluster_bytes > refcount_table_bytes_max)
        return fail(EFBIG, "{}: {} clusters of {} bytes take a refcount table of {} bytes, over 8 MiB (use a larger "
                    "cluster_size)", name, layout.cluster_count, cluster_bytes, table_clusters * cluster_bytes);
    layout.refcount_block_count = blocks;
    layout.refcount_table = cluster_bytes;
    layout.refcount_blocks = layout.refcount_table + table_clusters * cluster_bytes;
    layout.l1_table = layout.refcount_blocks + blocks * cluster_bytes;
    layout.l2_tables = layout.l1_table + l1_clusters * cluster_bytes;
    layout.bitmap = layout.l2_tables + l2_table_count * cluster_bytes;
    layout.data = layout.bitmap + bitmap_cluster_count * cluster_bytes;
    layout.end = layout.data + data_cluster_count * cluster_bytes;
    return layout;
}

Header header_of(const Layout& layout) {
    Header header{};
    header.magic = magic;
    header.version = 3;
    header.cluster_bits = layout.cluster_bits();
    header.size = layout.disk_bytes;
    header.l1_size = static_cast<uint32_t>(layout.l1_entries);
    header.l1_table_offset = layout.l1_table;
    header.refcount_table_offset = layout.refcount_table;
    header.refcount_table_clusters = static_cast<uint32_t>((layout.refcount_blocks - layout.refcount_table) / layout.cluster_bytes);
    header.refcount_order = 4;
    header.header_length = sizeof(Header);
    return header;
}

}  // namespace hyper::qcow2
