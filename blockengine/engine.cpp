// SPDX-License-Identifier: Apache-2.0
#include "blockengine/engine.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "blockengine/base/bytes.h"
#include "blockengine/file_reads.h"

namespace hyper {

namespace {

// What a unit is called in the cache. The hash is part of it, so that a unit is found there only by who expects that content.
uint64_t unit_key(const CompressedRange& range) {
    return unpacked_key(range.hash ? range.offset ^ load_le<uint64_t>(range.hash->data()) : range.offset);
}

std::shared_ptr<const Bytes> cached_unit(BlockCache& cache, const CompressedRange& range) {
    auto unit = cache.get(range.file->id(), unit_key(range));
    return unit && unit->size() == range.unpacked_bytes ? unit : nullptr;
}

// What the engine holds in memory for a piece besides its target.
size_t bytes_held(const CompressedRange& range, uint64_t wanted_bytes) {
    return (range.codec == Codec::plain ? 0 : range.stored_bytes) +
           (wanted_bytes == range.unpacked_bytes ? 0 : range.unpacked_bytes);
}

// Where the stored bytes lie, of which at most `stored_bytes` are in the file.
Result<uint64_t> bytes_to_read(const CompressedRange& range) {
    uint64_t size = range.file->size_bytes();
    if (range.offset >= size)
        return fail(EIO, "{}: compressed data at offset {} lies past the end of the file ({} bytes)", range.file->path(),
                    range.offset, size);
    if (range.codec != Codec::plain) return std::min<uint64_t>(range.stored_bytes, size - range.offset);
    if (range.stored_bytes < range.unpacked_bytes)
        return fail(EIO, "{}: unit at offset {}: {} bytes are stored instead of {}", range.file->path(), range.offset,
                    range.stored_bytes, range.unpacked_bytes);
    return range.unpacked_bytes;
}

// Makes the unit of what was read, which is the unit itself where it is stored plain, and checks it.
Result<void> unpack_unit(const CompressedRange& range, std::span<const std::byte> stored, std::span<std::byte> unit) {
    const char* advice = range.hash ? "; run hyperctl volume verify" : "";
    if (range.codec != Codec::plain)
        if (auto unpacked = unpack(range.codec, stored, unit); !unpacked)
            return fail(unpacked.error().code, "{}: compressed unit at offset {}: {}{}", range.file->path(), range.offset,
                        unpacked.error().message, advice);
    if (range.hash && xxh3_128(unit) != *range.hash)
        return fail(EIO, "{}: {} bytes at offset {}, of hash {}: block hash differs: the stored bytes are damaged{}",
                    range.file->path(), unit.size(), range.offset, hash_text(*range.hash), advice);
    return {};
}

}  // namespace

Result<void> Engine::read(const Source& source, uint64_t offset, std::span<std::byte> buffer) {
    if (!range_within(offset, buffer.size(), source.size_bytes()))
        return fail(EINVAL, "read {} bytes at offset {}: past the end of the disk ({} bytes)", buffer.size(),
                    offset, source.size_bytes());
    // A producer may read another source, so a thread can be in here more than once: each level takes the
    // spare list, or makes its own.
    thread_local PieceList spare;
    PieceList pieces = std::exchange(spare, {});
    Result<void> result;
    while (!buffer.empty() && result) {
        pieces.clear();
        result = source.map(offset, buffer.size(), pieces);
        if (result && (pieces.length() == 0 || pieces.length() > buffer.size()))
            result = fail(EIO, "read {} bytes at offset {}: the source answers for {} bytes", buffer.size(), offset,
                          pieces.length());
        if (!result) break;
        result = execute(pieces.pieces(), buffer.first(pieces.length()));
        offset += pieces.length();
        buffer = buffer.subspan(pieces.length());
    }
    pieces.clear();
    spare = std::move(pieces);
    return result;
}

Result<void> Engine::execute(std::span<const Piece> pieces, std::span<std::byte> buffer) {
    // A request that is one run of a file, which most are, needs no lists.
    if (pieces.size() == 1) {
        if (auto* range = std::get_if<FileRange>(&pieces[0].what))
            return read_file(*io_, *range->file, range->offset, buffer);
    }
    FileReads reads(*io_);
    std::vector<const Piece*> packed;
    std::vector<std::byte*> packed_targets;
    for (const Piece& piece : pieces) {
        std::span<std::byte> target = buffer.first(piece.length);
        buffer = buffer.subspan(piece.length);
        if (std::holds_alternative<Zeros>(piece.what)) {
            std::fill(target.begin(), target.end(), std::byte{0});
        } else if (auto* range = std::get_if<FileRange>(&piece.what)) {
            reads.add(*range->file, range->offset, target);
        } else if (auto* computed = std::get_if<Computed>(&piece.what)) {
            TRY(computed->producer->produce(computed->offset, target));
        } else {
            packed.push_back(&piece);
            packed_targets.push_back(target.data());
        }
    }
    TRY(reads.run());
    for (size_t first = 0; first < packed.size();) {
        size_t bytes = 0, count = 0;
        while (first + count < packed.size() && (count == 0 || bytes < batch_bytes_max)) {
            const Piece& piece = *packed[first + count++];
            auto& range = std::get<CompressedRange>(piece.what);
            bytes += bytes_held(range, piece.length);
        }
        TRY(unpack_batch(std::span(packed).subspan(first, count), std::span(packed_targets).subspan(first, count)));
        first += count;
    }
    return {};
}

Result<void> Engine::unpack_batch(std::span<const Piece* const> pieces, std::span<std::byte* const> targets) {
    std::vector<Bytes> stored(pieces.size());
    FileReads reads(*io_);
    std::vector<std::shared_ptr<const Bytes>> cached(pieces.size());
    std::vector<std::shared_ptr<Bytes>> units(pieces.size());  // of which only a part is wanted
    for (size_t i = 0; i < pieces.size(); ++i) {
        auto& range = std::get<CompressedRange>(pieces[i]->what);
        cached[i] = cached_unit(cache_, range);
        if (cached[i]) continue;
        uint64_t length = TRY(bytes_to_read(range));
        std::span<std::byte> into;
        if (range.codec != Codec::plain) {
            stored[i].resize(length);
            into = stored[i];
        } else if (pieces[i]->length == range.unpacked_bytes) {
            into = {targets[i], length};
        } else {
            units[i] = std::make_shared<Bytes>(length);
            into = *units[i];
        }
        reads.add(*range.file, range.offset, into);
    }
    TRY(reads.run());
    for (size_t i = 0; i < pieces.size(); ++i) {
        auto& range = std::get<CompressedRange>(pieces[i]->what);
        std::span<std::byte> target(targets[i], pieces[i]->length);
        bool whole = target.size() == range.unpacked_bytes;
        // Several pieces may be of one unit, where a chain's clusters are of different sizes.
        if (!cached[i] && !whole) cached[i] = cached_unit(cache_, range);
        if (!cached[i]) {
            if (!whole && !units[i]) units[i] = std::make_shared<Bytes>(range.unpacked_bytes);
            TRY(unpack_unit(range, stored[i], whole ? target : std::span<std::byte>(*units[i])));
            if (whole) continue;
            cache_.put(range.file->id(), unit_key(range), units[i]);
            cached[i] = std::move(units[i]);
        }
        std::memcpy(target.data(), cached[i]->data() + range.skip, target.size());
    }
    return {};
}

}  // namespace hyper
