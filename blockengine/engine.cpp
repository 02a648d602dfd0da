// SPDX-License-Identifier: Apache-2.0
#include "blockengine/engine.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "blockengine/base/bytes.h"

namespace hyper {

namespace {

Result<void> failed_read(const FileRange& range, const ReadOp& op) {
    bool past_end = op.offset + op.buffer.size() > range.file->size_bytes();
    return fail(read_error_code(op.error), "{}: read {} bytes at offset {}: {}", range.file->path(), op.buffer.size(), op.offset,
                past_end ? "past the end of the file" : errno_text(op.error));
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
        if (auto* range = std::get_if<FileRange>(&pieces[0].what)) {
            ReadOp op{range->file->fd(), range->offset, buffer, 0};
            io_->read({&op, 1});
            return op.error == 0 ? Result<void>() : failed_read(*range, op);
        }
    }
    std::vector<ReadOp> ops;
    std::vector<const FileRange*> ranges;
    std::vector<const Piece*> packed;
    std::vector<std::byte*> packed_targets;
    for (const Piece& piece : pieces) {
        std::span<std::byte> target = buffer.first(piece.length);
        buffer = buffer.subspan(piece.length);
        if (std::holds_alternative<Zeros>(piece.what)) {
            std::fill(target.begin(), target.end(), std::byte{0});
        } else if (auto* range = std::get_if<FileRange>(&piece.what)) {
            ops.push_back({range->file->fd(), range->offset, target, 0});
            ranges.push_back(range);
        } else if (auto* computed = std::get_if<Computed>(&piece.what)) {
            TRY(computed->producer->produce(computed->offset, target));
        } else {
            packed.push_back(&piece);
            packed_targets.push_back(target.data());
        }
    }
    if (!ops.empty()) io_->read(ops);
    for (size_t i = 0; i < ops.size(); ++i)
        if (ops[i].error != 0) return failed_read(*ranges[i], ops[i]);
    for (size_t first = 0; first < packed.size();) {
        size_t bytes = 0, count = 0;
        while (first + count < packed.size() && (count == 0 || bytes < batch_bytes_max)) {
            const Piece& piece = *packed[first + count++];
            auto& range = std::get<CompressedRange>(piece.what);
            bytes += range.stored_bytes;
            if (piece.length != range.unpacked_bytes) bytes += range.unpacked_bytes;
        }
        TRY(unpack_batch(std::span(packed).subspan(first, count), std::span(packed_targets).subspan(first, count)));
        first += count;
    }
    return {};
}

Result<void> Engine::unpack_batch(std::span<const Piece* const> pieces, std::span<std::byte* const> targets) {
    std::vector<Bytes> stored(pieces.size());
    std::vector<ReadOp> ops;
    std::vector<std::shared_ptr<const Bytes>> cached(pieces.size());
    for (size_t i = 0; i < pieces.size(); ++i) {
        auto& range = std::get<CompressedRange>(pieces[i]->what);
        cached[i] = cache_.get(range.file->id(), unpacked_key(range.offset));
        if (cached[i] && cached[i]->size() == range.unpacked_bytes) continue;
        cached[i] = nullptr;
        // stored_bytes may be an upper bound that reaches past the file's end.
        uint64_t size = range.file->size_bytes();
        if (range.offset >= size)
            return fail(EIO, "{}: compressed data at offset {} lies past the end of the file ({} bytes)",
                        range.file->path(), range.offset, size);
        stored[i].resize(std::min<uint64_t>(range.stored_bytes, size - range.offset));
        ops.push_back({range.file->fd(), range.offset, stored[i], 0});
    }
    if (!ops.empty()) io_->read(ops);
    size_t next_op = 0;
    for (size_t i = 0; i < pieces.size(); ++i) {
        auto& range = std::get<CompressedRange>(pieces[i]->what);
        std::span<std::byte> target(targets[i], pieces[i]->length);
        bool whole = target.size() == range.unpacked_bytes;
        if (!cached[i]) {
            const ReadOp& op = ops[next_op++];
            if (op.error != 0) return failed_read({range.file, range.offset}, op);
            // Several pieces may be of one unit, where a chain's clusters are of different sizes.
            if (!whole) cached[i] = cache_.get(range.file->id(), unpacked_key(range.offset));
            if (cached[i] && cached[i]->size() != range.unpacked_bytes) cached[i] = nullptr;
        }
        if (!cached[i]) {
            auto unit = whole ? nullptr : std::make_shared<Bytes>(range.unpacked_bytes);
            auto unpacked = unpack(range.codec, stored[i], whole ? target : std::span<std::byte>(*unit));
            if (!unpacked)
                return fail(EIO, "{}: compressed unit at offset {}: {}", range.file->path(), range.offset,
                            unpacked.error().message);
            if (whole) continue;
            cache_.put(range.file->id(), unpacked_key(range.offset), unit);
            cached[i] = unit;
        }
        std::memcpy(target.data(), cached[i]->data() + range.skip, target.size());
    }
    return {};
}

}  // namespace hyper
