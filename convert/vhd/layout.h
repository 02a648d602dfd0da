// SPDX-License-Identifier: Apache-2.0
// VHD on disk, all big-endian. Source: Microsoft, "Virtual Hard Disk Image Format Specification", version 1.0 (2006).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "blockengine/base/bytes.h"

namespace hyper::vhd {

using Cookie = std::array<char, 8>;
using Tag = std::array<char, 4>;
using UniqueId = std::array<std::byte, 16>;

enum DiskType : uint32_t { type_fixed = 2, type_dynamic = 3, type_differencing = 4 };

struct Geometry {
    be16 cylinders;
    uint8_t heads;
    uint8_t sectors_per_track;

    uint64_t bytes() const { return uint64_t{cylinders} * heads * sectors_per_track * sector_bytes; }
    bool operator==(const Geometry& other) const {
        return cylinders == other.cylinders && heads == other.heads && sectors_per_track == other.sectors_per_track;
    }
};

// At the end of every file; dynamic and differencing ones have a copy at offset 0.
struct Footer {
    Cookie cookie;
    be32 features;
    be32 version;
    be64 data_offset;  // of the dynamic header; all ones when fixed
    be32 timestamp;    // seconds since 2000-01-01 UTC
    Tag creator_app;
    be32 creator_version;
    Tag creator_os;
    be64 original_size;
    be64 current_size;
    Geometry geometry;
    be32 disk_type;
    be32 checksum;
    UniqueId unique_id;
    uint8_t saved_state;
    std::array<std::byte, 427> reserved;
};
static_assert(sizeof(Footer) == 512);

// Where one platform's form of the parent's name lies in the file.
struct ParentLocator {
    Tag platform_code;
    be32 data_space;   // bytes or sectors: writers differ
    be32 data_length;  // bytes
    be32 reserved;
    be64 data_offset;
};
static_assert(sizeof(ParentLocator) == 24);

struct DynamicHeader {
    Cookie cookie;
    be64 data_offset;   // all ones
    be64 table_offset;  // of the block allocation table (BAT)
    be32 version;
    be32 max_table_entries;
    be32 block_size;
    be32 checksum;
    UniqueId parent_unique_id;
    be32 parent_timestamp;
    be32 reserved1;
    std::array<be16, 256> parent_name;  // UTF-16 big-endian; the locators' data is little-endian
    std::array<ParentLocator, 8> parent_locators;
    std::array<std::byte, 256> reserved2;
};
static_assert(sizeof(DynamicHeader) == 1024);

inline constexpr Cookie footer_cookie{'c', 'o', 'n', 'e', 'c', 't', 'i', 'x'};
inline constexpr Cookie header_cookie{'c', 'x', 's', 'p', 'a', 'r', 's', 'e'};
inline constexpr uint32_t features_reserved = 2;  // a bit that is always set
inline constexpr uint32_t format_version = 0x00010000;
inline constexpr uint64_t no_offset = ~uint64_t{0};
inline constexpr uint32_t block_absent = ~uint32_t{0};  // a BAT entry
inline constexpr int64_t epoch_s = 946684800;           // 2000-01-01 in seconds since 1970
// What Hyper-V and QEMU take: the sector numbers of BAT entries have 32 bits.
inline constexpr uint64_t disk_size_max = 2040 * GiB;
// BATs are held in memory. Enough for the largest disk in blocks of 512 KiB, the smallest in use.
inline constexpr uint64_t table_bytes_max = 16 * MiB;

// Each block begins with one bit a sector, padded to whole sectors.
constexpr uint64_t bitmap_bytes(uint32_t block_size) {
    return round_up(divide_up(block_size / sector_bytes, 8), sector_bytes);
}

}  // namespace hyper::vhd
