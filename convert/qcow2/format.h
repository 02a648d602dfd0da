// SPDX-License-Identifier: Apache-2.0
// The on-disk structures of qcow2 and the limits that QEMU sets. All integers are big-endian.
// Source: QEMU, docs/interop/qcow2.txt; the limits: QEMU, block/qcow2.h.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "blockengine/base/bytes.h"

namespace hyper::qcow2 {

inline constexpr uint32_t magic = 0x514649fb;  // "QFI" 0xfb

struct Header {
    be32 magic;
    be32 version;
    be64 backing_file_offset;
    be32 backing_file_size;
    be32 cluster_bits;
    be64 size;
    be32 crypt_method;
    be32 l1_size;  // entries
    be64 l1_table_offset;
    be64 refcount_table_offset;
    be32 refcount_table_clusters;
    be32 nb_snapshots;
    be64 snapshots_offset;
    // Version 2 ends here.
    be64 incompatible_features;
    be64 compatible_features;
    be64 autoclear_features;
    be32 refcount_order;
    be32 header_length;
    // Only where header_length is larger than 104.
    uint8_t compression_type;
    uint8_t padding[7];
};
static_assert(sizeof(Header) == 112);
inline constexpr uint32_t header_bytes_v2 = 72, header_bytes_v3 = 104;

inline constexpr uint64_t incompatible_dirty = 1 << 0, incompatible_corrupt = 1 << 1, incompatible_data_file = 1 << 2,
                          incompatible_compression = 1 << 3, incompatible_extended_l2 = 1 << 4;
inline constexpr uint64_t incompatible_known = (1 << 5) - 1;
inline constexpr uint64_t compatible_lazy_refcounts = 1 << 0;
inline constexpr uint64_t autoclear_bitmaps = 1 << 0, autoclear_raw_data_file = 1 << 1;

inline constexpr uint8_t compression_zlib = 0, compression_zstd = 1;

struct ExtensionHeader {
    be32 type;
    be32 length;  // of the data that follows, which is padded to 8 bytes
};
static_assert(sizeof(ExtensionHeader) == 8);
inline constexpr uint32_t extension_end = 0, extension_backing_format = 0xe2792aca,
                          extension_feature_names = 0x6803f857, extension_bitmaps = 0x23852875,
                          extension_encryption = 0x0537be77, extension_data_file = 0x44415441;

struct FeatureName {
    uint8_t type;  // 0 incompatible, 1 compatible, 2 autoclear
    uint8_t bit;
    char name[46];
};
static_assert(sizeof(FeatureName) == 48);

struct BitmapsExtension {
    be32 nb_bitmaps;
    be32 reserved;
    be64 directory_size;
    be64 directory_offset;
};
static_assert(sizeof(BitmapsExtension) == 24);

struct BitmapDirectoryEntry {
    be64 table_offset;
    be32 table_size;  // entries
    be32 flags;
    uint8_t type;
    uint8_t granularity_bits;
    be16 name_size;
    be32 extra_data_size;
    // Followed by extra data and name, padded to 8 bytes.
};
static_assert(sizeof(BitmapDirectoryEntry) == 24);
inline constexpr uint32_t bitmap_in_use = 1;
inline constexpr uint8_t bitmap_dirty_tracking = 1;

struct SnapshotEntry {
    be64 l1_table_offset;
    be32 l1_size;
    be16 id_size;
    be16 name_size;
    be32 date_sec;
    be32 date_nsec;
    be64 vm_clock_nsec;
    be32 vm_state_size;
    be32 extra_data_size;
    // Followed by extra data, id and name, padded to 8 bytes.
};
static_assert(sizeof(SnapshotEntry) == 40);

// The part of a snapshot's extra data that tells the disk's size at that time.
struct SnapshotExtra {
    be64 vm_state_size;
    be64 disk_size;
};
static_assert(sizeof(SnapshotExtra) == 16);

// L1, L2 and refcount table entries.
inline constexpr uint64_t offset_mask = 0x00fffffffffffe00;  // bits 9-55
inline constexpr uint64_t flag_copied = uint64_t{1} << 63;
inline constexpr uint64_t flag_compressed = uint64_t{1} << 62;
inline constexpr uint64_t flag_zero = 1;  // version 3 without extended L2
inline constexpr uint32_t subclusters_per_cluster = 32;

inline constexpr uint32_t cluster_bits_min = 9, cluster_bits_max = 21, cluster_bits_min_extended = 14;
inline constexpr uint64_t l1_bytes_max = 32 * MiB;
inline constexpr uint64_t refcount_table_bytes_max = 8 * MiB;
inline constexpr uint32_t refcount_order_max = 6;
inline constexpr uint32_t snapshots_max = 65536;
inline constexpr uint64_t snapshot_extra_bytes_max = 1024;
inline constexpr uint64_t snapshot_table_bytes_max = 64 * MiB;
inline constexpr uint32_t bitmaps_max = 65535;
inline constexpr uint64_t bitmap_directory_bytes_max = 64 * MiB;
inline constexpr uint32_t backing_name_bytes_max = 1023;

// Where the bytes of a compressed cluster are. The size counts whole 512-byte sectors from `offset` on,
// so it is an upper bound.
struct CompressedPlace {
    uint64_t offset;
    uint32_t stored_bytes;
};
inline CompressedPlace compressed_place(uint64_t l2_entry, uint32_t cluster_bits) {
    uint32_t offset_bits = 62 - (cluster_bits - 8);
    uint64_t offset = l2_entry & ((uint64_t{1} << offset_bits) - 1);
    uint64_t more_sectors = (l2_entry & (flag_compressed - 1)) >> offset_bits;
    return {offset, static_cast<uint32_t>((more_sectors + 1) * sector_bytes - offset % sector_bytes)};
}

}  // namespace hyper::qcow2
