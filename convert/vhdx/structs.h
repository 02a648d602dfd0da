// SPDX-License-Identifier: Apache-2.0
// The on-disk structs of VHDX, by the names that Microsoft's [MS-VHDX] gives them. Little-endian throughout.
// Used by the reader, the views and the checker; everything else those three keep apart.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "blockengine/base/bytes.h"

namespace hyper::vhdx {

// As stored: the first three fields little-endian, which is not the order of its text.
struct Guid {
    std::array<std::byte, 16> bytes{};
    bool operator==(const Guid&) const = default;
};

constexpr Guid make_guid(uint32_t a, uint16_t b, uint16_t c, uint64_t d) {
    Guid guid;
    for (unsigned i = 0; i < 4; ++i) guid.bytes[i] = static_cast<std::byte>(a >> (8 * i));
    for (unsigned i = 0; i < 2; ++i) guid.bytes[4 + i] = static_cast<std::byte>(b >> (8 * i));
    for (unsigned i = 0; i < 2; ++i) guid.bytes[6 + i] = static_cast<std::byte>(c >> (8 * i));
    for (unsigned i = 0; i < 8; ++i) guid.bytes[8 + i] = static_cast<std::byte>(d >> (56 - 8 * i));
    return guid;
}

// Between the stored order and the order of the text.
inline std::array<std::byte, 16> swap_guid_order(const std::array<std::byte, 16>& in) {
    constexpr unsigned order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    std::array<std::byte, 16> out;
    for (size_t i = 0; i < 16; ++i) out[i] = in[order[i]];
    return out;
}

// Offsets within the file (2.2: the header section is the first MiB).
inline constexpr uint64_t header_offsets[2] = {64 * KiB, 128 * KiB};
inline constexpr uint64_t region_table_offsets[2] = {192 * KiB, 256 * KiB};
inline constexpr uint64_t header_section_bytes = MiB;
inline constexpr uint64_t region_table_bytes = 64 * KiB;
inline constexpr uint64_t metadata_table_bytes = 64 * KiB;
inline constexpr uint64_t region_alignment = MiB;
inline constexpr uint32_t table_entries_max = 2047;
inline constexpr uint64_t log_sector_bytes = 4096;
inline constexpr uint64_t block_bytes_min = MiB, block_bytes_max = 256 * MiB;
inline constexpr uint64_t bitmap_block_bytes = MiB;
// A sector bitmap block has a bit for each of this many sectors, which make a chunk.
inline constexpr uint64_t sectors_per_chunk = bitmap_block_bytes * 8;

inline constexpr std::string_view file_signature = "vhdxfile", metadata_signature = "metadata";
inline constexpr uint32_t header_signature = 0x64616568;       // "head"
inline constexpr uint32_t region_signature = 0x69676572;       // "regi"
inline constexpr uint32_t log_entry_signature = 0x65676f6c;    // "loge"
inline constexpr uint32_t log_zero_signature = 0x6f72657a;     // "zero"
inline constexpr uint32_t log_descriptor_signature = 0x63736564;  // "desc"
inline constexpr uint32_t log_data_signature = 0x61746164;     // "data"

inline constexpr Guid bat_region = make_guid(0x2dc27766, 0xf623, 0x4200, 0x9d64115e9bfd4a08);
inline constexpr Guid metadata_region = make_guid(0x8b7ca206, 0x4790, 0x4b9a, 0xb8fe575f050f886e);
inline constexpr Guid file_parameters_item = make_guid(0xcaa16737, 0xfa36, 0x4d43, 0xb3b633f0aa44e76b);
inline constexpr Guid virtual_size_item = make_guid(0x2fa54224, 0xcd1b, 0x4876, 0xb2115dbed83bf4b8);
inline constexpr Guid page83_item = make_guid(0xbeca12ab, 0xb2e6, 0x4523, 0x93efc309e000c746);
inline constexpr Guid logical_sector_item = make_guid(0x8141bf1d, 0xa96f, 0x4709, 0xba47f233a8faab5f);
inline constexpr Guid physical_sector_item = make_guid(0xcda348c7, 0x445d, 0x4471, 0x9cc9e9885251c556);
inline constexpr Guid parent_locator_item = make_guid(0xa8d35f2d, 0xb30b, 0x454d, 0xabf7d3d84834ab0c);
inline constexpr Guid vhdx_parent_locator = make_guid(0xb04aefb7, 0xd19e, 0x4a81, 0xb78925b8e9445913);

struct FileIdentifier {
    char signature[8];
    char16_t creator[256];
};
static_assert(sizeof(FileIdentifier) == 520);

struct Header {
    le32 signature, checksum;
    le64 sequence_number;
    Guid file_write_guid, data_write_guid, log_guid;
    le16 log_version, version;
    le32 log_length;
    le64 log_offset;
    std::byte reserved[4016];
};
static_assert(sizeof(Header) == 4096);

struct RegionTableHeader {
    le32 signature, checksum, entry_count, reserved;
};
static_assert(sizeof(RegionTableHeader) == 16);

struct RegionEntry {
    Guid guid;
    le64 file_offset;
    le32 length, required;
};
static_assert(sizeof(RegionEntry) == 32);

struct MetadataTableHeader {
    char signature[8];
    le16 reserved, entry_count;
    std::byte reserved2[20];
};
static_assert(sizeof(MetadataTableHeader) == 32);

struct MetadataEntry {
    Guid item;
    le32 offset, length, flags, reserved;
};
static_assert(sizeof(MetadataEntry) == 32);
inline constexpr uint32_t metadata_is_user = 1, metadata_is_virtual_disk = 2, metadata_is_required = 4;

struct FileParameters {
    le32 block_size, flags;
};
static_assert(sizeof(FileParameters) == 8);
inline constexpr uint32_t leave_blocks_allocated = 1, has_parent = 2;

struct ParentLocatorHeader {
    Guid type;
    le16 reserved, key_value_count;
};
static_assert(sizeof(ParentLocatorHeader) == 20);

struct ParentLocatorEntry {
    le32 key_offset, value_offset;
    le16 key_length, value_length;
};
static_assert(sizeof(ParentLocatorEntry) == 12);

struct LogEntryHeader {
    le32 signature, checksum, entry_length, tail;
    le64 sequence_number;
    le32 descriptor_count, reserved;
    Guid log_guid;
    le64 flushed_file_offset, last_file_offset;
};
static_assert(sizeof(LogEntryHeader) == 64);

// A data descriptor ("desc") or a zero descriptor ("zero").
struct LogDescriptor {
    le32 signature;
    le32 trailing_bytes;  // of data; reserved in a zero descriptor
    le64 leading_bytes;   // of data; the length of zeros
    le64 file_offset;
    le64 sequence_number;
};
static_assert(sizeof(LogDescriptor) == 32);

// Around the 4084 middle bytes of a logged sector.
struct LogDataSector {
    le32 signature, sequence_high;
    std::byte data[4084];
    le32 sequence_low;
};
static_assert(sizeof(LogDataSector) == log_sector_bytes);

// BAT entry (2.5): bits 0-2 state, 3-19 reserved, 20-63 offset in MiB.
enum BlockState : uint64_t {
    block_not_present = 0,
    block_undefined = 1,
    block_zero = 2,
    block_unmapped = 3,
    block_fully_present = 6,
    block_partially_present = 7,
};
inline constexpr uint64_t bat_state_mask = 7, bat_reserved_mask = 0xffff8;

// How the BAT is laid out: after every chunk_ratio payload entries comes one for the chunk's sector bitmap.
struct BatLayout {
    uint64_t block_count, chunk_ratio, entry_count;

    BatLayout(uint64_t virtual_bytes, uint64_t block_bytes, uint32_t logical_sector_bytes, bool differencing)
        : block_count(divide_up(virtual_bytes, block_bytes)),
          chunk_ratio(sectors_per_chunk * logical_sector_bytes / block_bytes),
          entry_count(block_count) {
        if (differencing)
            entry_count = divide_up(block_count, chunk_ratio) * (chunk_ratio + 1);
        else if (block_count > 0)
            entry_count += (block_count - 1) / chunk_ratio;
    }
    uint64_t payload_index(uint64_t block) const { return block + block / chunk_ratio; }
    uint64_t bitmap_index(uint64_t chunk) const { return (chunk + 1) * chunk_ratio + chunk; }
};

// A struct at `p`, which need not be aligned.
template <class T>
T load(const std::byte* p) {
    T value;
    std::memcpy(&value, p, sizeof value);
    return value;
}

// "2dc27766-f623-4200-9d64-115e9bfd4a08"
std::string guid_text(const Guid& guid);

}  // namespace hyper::vhdx
