// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/generation_source.h"

#include <algorithm>
#include <cerrno>

#include "blockengine/base/bytes.h"

namespace hyper {

Result<void> GenerationSource::map(uint64_t offset, uint64_t length, PieceList& out) const {
    std::unique_ptr<BlockCursor> cursor;
    {
        std::lock_guard lock(mutex_);
        if (!cursors_.empty()) {
            cursor = std::move(cursors_.back());
            cursors_.pop_back();
        }
    }
    if (!cursor) cursor = TRY(volume_->index().cursor());
    auto result = map_with(*cursor, offset, length, out);
    // After the look-up: if the mark is not there now, nothing of the generation was gone then.
    if (volume_->pruned().pruned(generation_))
        return fail(ESTALE, "{}: generation {} was pruned", volume_->folder(), generation_);
    if (result) {
        std::lock_guard lock(mutex_);
        if (cursors_.size() < cursors_kept_max) cursors_.push_back(std::move(cursor));
    }
    return result;
}

Result<void> GenerationSource::map_with(BlockCursor& cursor, uint64_t offset, uint64_t length, PieceList& out) const {
    const uint64_t block_bytes = volume_->block_bytes(), end = offset + length;
    const uint64_t end_block = divide_up(end, block_bytes);
    while (offset < end && !out.full()) {
        auto found = TRY(cursor.next(offset / block_bytes, end_block, generation_));
        uint64_t data = found ? std::max(found->block * block_bytes, offset) : end;
        if (data > offset) out.absent(data - offset);
        if (!found) return {};
        uint64_t stop = std::min(end, (found->block + 1) * block_bytes);
        TRY(map_block(*found, data - found->block * block_bytes, stop - data, out));
        offset = stop;
    }
    return {};
}

Result<void> GenerationSource::map_block(const BlockCursor::Found& found, uint64_t skip, uint64_t length, PieceList& out) const {
    const BlockEntry& entry = found.entry;
    const uint64_t start = found.block * volume_->block_bytes();
    switch (entry.codec) {
        case BlockCodec::zeros: out.zeros(length); return {};
        case BlockCodec::lost:
            return fail(EIO, "{}: {} bytes at offset {} are lost: what was stored is damaged", volume_->folder(),
                        volume_->block_bytes(), start);
        case BlockCodec::plain:
        case BlockCodec::zstd: break;
    }
    auto file = TRY(volume_->data_file(entry.place.file, entry.place.offset + entry.place.stored_bytes));
    auto unpacked = static_cast<uint32_t>(std::min<uint64_t>(volume_->block_bytes(), size_bytes_ - start));
    out.compressed({.file = std::move(file),
                    .offset = entry.place.offset,
                    .stored_bytes = entry.place.stored_bytes,
                    .unpacked_bytes = unpacked,
                    .skip = static_cast<uint32_t>(skip),
                    .codec = entry.codec == BlockCodec::zstd ? Codec::zstd : Codec::plain,
                    .hash = entry.hash},
                   length);
    return {};
}

}  // namespace hyper
