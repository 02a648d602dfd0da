// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/data_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "blockengine/base/hex.h"

namespace hyper {

namespace {

constexpr std::string_view magic = "hyperdat";
constexpr uint32_t format_version = 1;

struct HeaderBytes {
    char magic[8];
    le32 kind;
    le32 count;
    le64 body_bytes;
    le32 generation;
    le32 reserved;
    le64 attempt;
    le64 sequence;
    Hash128 hash;
};
static_assert(sizeof(HeaderBytes) == record_header_bytes);

struct EntryBytes {
    le64 block;
    le32 file;
    uint8_t codec;
    uint8_t reserved[3];
    le64 offset;
    le32 stored_bytes;
    le32 reserved2;
    Hash128 hash;
};
static_assert(sizeof(EntryBytes) == record_entry_bytes);

Hash128 hash_of(const RecordPlace& place, std::span<const std::byte> bytes) {
    struct {
        VolumeId volume;
        le64 file, offset;
    } where{place.volume, place.file, place.offset};
    static_assert(sizeof where == 32);
    std::vector<std::byte> all(sizeof where + bytes.size());
    std::memcpy(all.data(), &where, sizeof where);
    std::memcpy(all.data() + sizeof where, bytes.data(), bytes.size());
    std::fill_n(all.begin() + sizeof where + offsetof(HeaderBytes, hash), sizeof(Hash128), std::byte{0});
    return xxh3_128(all);
}

bool is_stored(BlockCodec codec) { return codec == BlockCodec::plain || codec == BlockCodec::zstd; }

}  // namespace

void set_record_hash(const RecordPlace& place, std::span<std::byte> bytes) {
    Hash128 hash = hash_of(place, bytes);
    std::memcpy(bytes.data() + offsetof(HeaderBytes, hash), &hash, sizeof hash);
}

bool record_hash_matches(const RecordPlace& place, std::span<const std::byte> bytes) {
    Hash128 hash = hash_of(place, bytes);
    return std::memcmp(bytes.data() + offsetof(HeaderBytes, hash), &hash, sizeof hash) == 0;
}

std::vector<std::byte> encode_head(const RecordPlace& place, const RecordHead& head, std::span<const BatchEntry> entries) {
    std::vector<std::byte> bytes(head.body_offset());
    HeaderBytes header{};
    std::memcpy(header.magic, magic.data(), magic.size());
    header.kind = static_cast<uint32_t>(head.kind);
    header.count = head.count;
    header.body_bytes = head.body_bytes;
    header.generation = head.generation;
    header.attempt = head.attempt;
    header.sequence = head.sequence;
    std::memcpy(bytes.data(), &header, sizeof header);
    std::byte* at = bytes.data() + sizeof header;
    for (const auto& [block, entry, in_body] : entries) {
        EntryBytes stored{};
        stored.block = block;
        stored.file = in_body ? 0 : entry.place.file;
        stored.codec = static_cast<uint8_t>(entry.codec);
        stored.offset = entry.place.offset;
        stored.stored_bytes = entry.place.stored_bytes;
        stored.hash = entry.hash;
        std::memcpy(at, &stored, sizeof stored);
        at += sizeof stored;
    }
    set_record_hash(place, std::span(bytes).first(head.head_bytes()));
    return bytes;
}

std::optional<RecordHead> decode_header(std::span<const std::byte, record_header_bytes> bytes) {
    HeaderBytes header;
    std::memcpy(&header, bytes.data(), sizeof header);
    uint32_t kind = header.kind, count = header.count;
    uint64_t body_bytes = header.body_bytes;
    if (std::string_view(header.magic, sizeof header.magic) != magic || header.reserved != 0) return std::nullopt;
    if (kind < static_cast<uint32_t>(RecordKind::file) || kind > static_cast<uint32_t>(RecordKind::sealed))
        return std::nullopt;
    if (kind == static_cast<uint32_t>(RecordKind::batch)) {
        if (count > batch_blocks_max || body_bytes > uint64_t{count} * stored_block_bytes_max) return std::nullopt;
    } else if (count != 0 || body_bytes < sizeof(Hash128) || body_bytes > sizeof(Hash128) + record_text_bytes_max) {
        return std::nullopt;
    }
    return RecordHead{static_cast<RecordKind>(kind), count, body_bytes, header.generation, header.attempt,
                      header.sequence};
}

std::optional<std::vector<BatchEntry>> decode_entries(const RecordPlace& place, const RecordHead& head,
                                                      std::span<const std::byte> bytes) {
    std::vector<BatchEntry> entries;
    entries.reserve(head.count);
    uint64_t body = place.offset + head.body_offset(), body_end = body + head.body_bytes;
    for (uint32_t i = 0; i < head.count; ++i) {
        EntryBytes stored;
        std::memcpy(&stored, bytes.data() + record_header_bytes + i * sizeof stored, sizeof stored);
        auto codec = static_cast<BlockCodec>(stored.codec);
        uint32_t file = stored.file, stored_bytes = stored.stored_bytes;
        uint64_t offset = stored.offset;
        if (stored.codec > static_cast<uint8_t>(BlockCodec::lost) || stored.reserved2 != 0 ||
            !all_zero(std::as_bytes(std::span(stored.reserved))))
            return std::nullopt;
        bool in_body = is_stored(codec) && file == 0;
        if (!is_stored(codec)) {
            if (file != 0 || offset != 0 || stored_bytes != 0) return std::nullopt;
        } else if (stored_bytes == 0 || stored_bytes > stored_block_bytes_max ||
                   !range_within(offset, stored_bytes, INT64_MAX)) {
            return std::nullopt;
        } else if (in_body) {
            // The blocks lie one after the other.
            if (offset != body || stored_bytes > body_end - body) return std::nullopt;
            body += stored_bytes;
        }
        entries.push_back({stored.block, {codec, {in_body ? place.file : file, stored_bytes, offset}, stored.hash}, in_body});
    }
    if (head.kind == RecordKind::batch && body != body_end) return std::nullopt;
    return entries;
}

std::string file_record_text(const VolumeId& volume, uint32_t file) {
    return fmt::format(R"({{"volume":"{}","file":{},"version":{}}})", hex(volume), file, format_version);
}

std::string data_file_path(const std::string& folder, uint32_t file) { return fmt::format("{}/{:08}", folder, file); }

}  // namespace hyper
