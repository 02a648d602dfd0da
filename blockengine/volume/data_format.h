// SPDX-License-Identifier: Apache-2.0
// The records of data files, as README.md "Data files" has them: what their bytes mean, and nothing of reading and writing.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "blockengine/base/bytes.h"
#include "blockengine/volume/block_entry.h"

namespace hyper {

using VolumeId = std::array<std::byte, 16>;

enum class RecordKind : uint32_t { file = 1, batch = 2, generation = 3, pruned = 4, sealed = 5 };

inline constexpr uint64_t record_alignment = 4096;
inline constexpr uint64_t record_header_bytes = 64, record_entry_bytes = 48;
inline constexpr uint32_t batch_blocks_max = 256;
inline constexpr uint32_t stored_block_bytes_max = 4 * MiB;
inline constexpr uint64_t record_text_bytes_max = 4 * MiB;

// Where a record is. Its hash covers this too, so that the bytes of a record are none at any other place: what looks like
// one inside a block (a disk may hold a volume, or mean harm) is not taken for one.
struct RecordPlace {
    VolumeId volume;
    uint32_t file;
    uint64_t offset;
};

struct RecordHead {
    RecordKind kind;
    uint32_t count = 0;
    uint64_t body_bytes = 0;
    uint32_t generation = 0;
    uint64_t attempt = 0;
    uint64_t sequence = 0;

    // From the record's start.
    uint64_t head_bytes() const { return record_header_bytes + count * record_entry_bytes; }
    uint64_t body_offset() const { return round_up(head_bytes(), record_alignment); }
    uint64_t record_bytes() const { return body_offset() + round_up(body_bytes, record_alignment); }
};

struct BatchEntry {
    uint64_t block = 0;
    BlockEntry entry;
    bool in_body = false;  // of the same record; else it refers to what was stored before
};

// The header and the entries, padded to body_offset(). head.count is that of the entries.
std::vector<std::byte> encode_head(const RecordPlace& place, const RecordHead& head, std::span<const BatchEntry> entries);

// The header's fields, where they are possible; nothing else of it is known to be right before record_hash_matches().
std::optional<RecordHead> decode_header(std::span<const std::byte, record_header_bytes> header);
// `bytes`: head_bytes() of them.
bool record_hash_matches(const RecordPlace& place, std::span<const std::byte> bytes);
// nullopt where an entry contradicts the format. `bytes` as above.
std::optional<std::vector<BatchEntry>> decode_entries(const RecordPlace& place, const RecordHead& head,
                                                      std::span<const std::byte> bytes);
// Writes the hash that these bytes should have.
void set_record_hash(const RecordPlace& place, std::span<std::byte> bytes);

// The JSON text of the first record of each file.
std::string file_record_text(const VolumeId& volume, uint32_t file);

// Path of a data file; files are numbered from 1.
std::string data_file_path(const std::string& folder, uint32_t file);

}  // namespace hyper
