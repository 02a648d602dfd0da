// SPDX-License-Identifier: Apache-2.0
#include "blockengine/delta_source.h"

#include <algorithm>
#include <cstring>

#include "blockengine/base/bytes.h"

namespace hyper {

Result<void> DeltaSource::map(uint64_t offset, uint64_t length, PieceList& out) const {
    for (uint64_t end = offset + length; offset < end && !out.full();) {
        uint64_t unit = offset / unit_bytes, run = units_->run_length(unit, divide_up(end, unit_bytes) - unit);
        uint64_t take = std::min(end, (unit + run) * unit_bytes) - offset, before = out.length();
        if (units_->allocated(unit))
            TRY(map_changed(offset, take, out));
        else
            out.absent(take);
        if (out.length() - before != take) break;
        offset += take;
    }
    return {};
}

Result<void> DeltaSource::map_changed(uint64_t offset, uint64_t length, PieceList& out) const {
    PieceList pieces;
    TRY(disk_->map(offset, length, pieces));
    for (const Piece& piece : pieces.pieces()) {
        if (out.full()) break;
        if (std::holds_alternative<Zeros>(piece.what))
            out.computed(shared_from_this(), offset, piece.length);
        else
            out.add(piece);
        offset += piece.length;
    }
    return {};
}

Result<void> DeltaSource::produce(uint64_t, std::span<std::byte> out) const {
    std::memset(out.data(), 0, out.size());
    return {};
}

}  // namespace hyper
