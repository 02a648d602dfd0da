// SPDX-License-Identifier: Apache-2.0
// Where everything stands in a qcow2 view, in closed form.
//
//     header | refcount table | refcount blocks | L1 table | L2 tables | bitmap | data clusters in guest order
//
// Each part begins at a cluster; only L2 tables with an allocated cluster are there. Refcounts (16 bits, order 4) are 1
// for every cluster of the file. The refcount blocks count themselves and their table, so their number is the least
// that satisfies both sides; it grows from step to step and settles after a few.
#pragma once

#include <cstdint>
#include <string_view>

#include "blockengine/base/result.h"
#include "convert/qcow2/format.h"

namespace hyper::qcow2 {

struct Layout {
    uint64_t cluster_bytes = 0;
    uint64_t disk_bytes = 0;
    uint64_t cluster_count = 0;  // of the whole file
    uint64_t refcount_block_count = 0;
    uint64_t l1_entries = 0;
    // Offsets in the file; header at 0.
    uint64_t refcount_table = 0, refcount_blocks = 0, l1_table = 0, l2_tables = 0, bitmap = 0, data = 0, end = 0;

    uint32_t cluster_bits() const;
    uint64_t refcount_table_bytes() const { return refcount_block_count * 8; }  // in use
    uint64_t refcount_bytes() const { return cluster_count * 2; }               // in use
    uint64_t l1_bytes() const { return l1_entries * 8; }                        // in use

    // L2 entries of one table.
    static uint64_t l2_entries(uint64_t cluster_bytes) { return cluster_bytes / 8; }
    // L1 entries that a disk takes. Errors: EINVAL for a cluster size that qcow2 does not have, EFBIG where the L1 table
    // would be larger than 32 MiB. `name` is for messages.
    static Result<uint64_t> l1_entries_of(std::string_view name, uint64_t disk_bytes, uint64_t cluster_bytes);
    // Errors: EFBIG where the refcount table would be larger than 8 MiB.
    static Result<Layout> compute(std::string_view name, uint64_t disk_bytes, uint64_t cluster_bytes,
                                  uint64_t l2_table_count, uint64_t bitmap_cluster_count, uint64_t data_cluster_count);
};

// A version 3 header that says where these parts are.
Header header_of(const Layout& layout);

}  // namespace hyper::qcow2
