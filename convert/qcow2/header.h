// SPDX-License-Identifier: Apache-2.0
// What the reader learns from the first cluster of a qcow2 file and from its snapshot table, all of it checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "blockengine/file.h"
#include "convert/qcow2/format.h"

namespace hyper::qcow2 {

struct ImageHeader {
    uint32_t version = 0;
    uint32_t cluster_bits = 0;
    uint64_t cluster_bytes = 0;
    uint64_t size_bytes = 0;
    uint64_t l1_table_offset = 0;
    uint32_t l1_size = 0;
    uint64_t refcount_table_offset = 0;
    uint64_t refcount_table_bytes = 0;
    uint32_t refcount_bits = 16;
    uint32_t nb_snapshots = 0;
    uint64_t snapshots_offset = 0;
    uint64_t incompatible_features = 0;
    uint64_t compatible_features = 0;
    uint64_t autoclear_features = 0;
    uint8_t compression_type = compression_zlib;

    std::string backing_file;  // empty where there is none
    std::optional<std::string> backing_format;
    std::string data_file;  // the name that the extension gives; empty where there is none
    std::vector<std::string> bitmaps;

    bool extended_l2() const { return (incompatible_features & incompatible_extended_l2) != 0; }
    bool has_data_file() const { return (incompatible_features & incompatible_data_file) != 0; }
    uint64_t l2_entry_bytes() const { return extended_l2() ? 16 : 8; }
    uint64_t l2_entries() const { return cluster_bytes / l2_entry_bytes(); }
    // Bytes of the disk that one L2 table describes.
    uint64_t l2_covers() const { return l2_entries() * cluster_bytes; }
};

// Errors: EINVAL for what no qcow2 file may hold, ENOTSUP for a feature that is not read here, EFBIG for a disk over 64 TiB.
Result<ImageHeader> read_header(const File& file);

// One state of the disk: the present one, or an internal snapshot.
struct Snapshot {
    std::string id, name;
    uint64_t l1_table_offset;
    uint32_t l1_size;
    std::optional<uint64_t> size_bytes;  // version 2 may leave it out: then the present size
};
Result<std::vector<Snapshot>> read_snapshots(const File& file, const ImageHeader& header);

}  // namespace hyper::qcow2
