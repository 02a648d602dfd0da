// SPDX-License-Identifier: Apache-2.0
// The on-disk structures of hosted sparse extents, as VMware's "Virtual Disk Format 5.0" has them.
// All that reader, views and checker have in common.
#pragma once

#include "blockengine/base/bytes.h"

namespace hyper::vmdk {

// Sectors 0 of a sparse extent, and the footer of a stream. Offsets and sizes are in sectors.
struct SparseHeader {
    le32 magic;
    le32 version;
    le32 flags;
    le64 capacity;
    le64 grain_size;
    le64 descriptor_offset;
    le64 descriptor_size;
    le32 gtes_per_gt;
    le64 rgd_offset;
    le64 gd_offset;
    le64 over_head;
    std::byte unclean_shutdown;
    char newline_test[4];
    le16 compress_algorithm;
    std::byte pad[433];
};
static_assert(sizeof(SparseHeader) == sector_bytes);

inline constexpr uint32_t magic_sparse = 0x564d444b;    // "KDMV"
inline constexpr uint32_t magic_cowd = 0x44574f43;      // "COWD"
inline constexpr uint32_t magic_sesparse = 0xcafebabe;

inline constexpr uint32_t flag_newline_test = 1 << 0;
inline constexpr uint32_t flag_redundant_gd = 1 << 1;
inline constexpr uint32_t flag_zero_grains = 1 << 2;
inline constexpr uint32_t flag_compressed = 1 << 16;
inline constexpr uint32_t flag_markers = 1 << 17;

inline constexpr char newline_test[4] = {'\n', ' ', '\r', '\n'};
inline constexpr uint64_t gd_at_end = ~uint64_t{0};
inline constexpr uint16_t compress_deflate = 1;

inline constexpr uint64_t gtes_per_gt = 512;
inline constexpr uint64_t gt_bytes = gtes_per_gt * 4;
inline constexpr uint64_t gt_sectors = gt_bytes / sector_bytes;
inline constexpr uint32_t gte_absent = 0;
inline constexpr uint32_t gte_zero = 1;

// Before each compressed grain; its stream of `size` bytes follows at once.
struct GrainMarker {
    le64 lba;
    le32 size;
};
static_assert(sizeof(GrainMarker) == 12);

// Before each table of a stream: a grain marker whose size is 0, alone in its sector.
struct Marker {
    le64 sectors;
    le32 size;
    le32 type;
    std::byte pad[496];
};
static_assert(sizeof(Marker) == sector_bytes);
enum MarkerType : uint32_t { marker_eos = 0, marker_gt = 1, marker_gd = 2, marker_footer = 3 };

// Offsets are 32-bit sectors.
inline constexpr uint64_t file_sectors_max = uint64_t{1} << 32;
inline constexpr uint64_t descriptor_bytes_max = MiB;
// A grain directory beyond this is refused: it is 64 TiB in grains of 16 KiB.
inline constexpr uint64_t gd_bytes_max = 32 * MiB;
inline constexpr uint64_t grain_sectors_min = 8, grain_sectors_max = 4096;

}  // namespace hyper::vmdk
