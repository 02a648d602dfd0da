// SPDX-License-Identifier: Apache-2.0
#include "blockengine/source.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "blockengine/base/bytes.h"
#include "blockengine/far_reader.h"

namespace hyper {

template <class Kind>
Kind* PieceList::last() {
    return pieces_.empty() || pieces_.back().depth != depth_ ? nullptr : std::get_if<Kind>(&pieces_.back().what);
}

void PieceList::zeros(uint64_t length, uint32_t depth) {
    if (length == 0) return;
    length_ += length;
    if (!pieces_.empty() && pieces_.back().depth == depth && std::holds_alternative<Zeros>(pieces_.back().what)) {
        pieces_.back().length += length;
        return;
    }
    pieces_.push_back({length, Zeros{}, depth});
}

void PieceList::file(const std::shared_ptr<const File>& file, uint64_t offset, uint64_t length) {
    if (length == 0) return;
    length_ += length;
    auto* range = last<FileRange>();
    if (range != nullptr && range->file == file && range->offset + pieces_.back().length == offset) {
        pieces_.back().length += length;
        return;
    }
    pieces_.push_back({length, FileRange{file, offset}, depth_});
}

void PieceList::compressed(CompressedRange range, uint64_t length) {
    if (length == 0) return;
    length_ += length;
    pieces_.push_back({length, std::move(range), depth_});
}

void PieceList::computed(std::shared_ptr<const Producer> producer, uint64_t offset, uint64_t length) {
    if (length == 0) return;
    length_ += length;
    auto* range = last<Computed>();
    if (range != nullptr && range->producer == producer && range->offset + pieces_.back().length == offset) {
        pieces_.back().length += length;
        return;
    }
    pieces_.push_back({length, Computed{std::move(producer), offset}, depth_});
}

void PieceList::add(const Piece& piece) {
    if (auto* range = std::get_if<FileRange>(&piece.what))
        file(range->file, range->offset, piece.length);
    else if (auto* unit = std::get_if<CompressedRange>(&piece.what))
        compressed(*unit, piece.length);
    else if (auto* bytes = std::get_if<Computed>(&piece.what))
        computed(bytes->producer, bytes->offset, piece.length);
    else
        zeros(piece.length);
}

namespace {

// Hands on extents, joining neighbours of one kind.
class ExtentJoiner {
  public:
    ExtentJoiner(uint64_t offset, const std::function<bool(const Extent&)>& visit)
        : pending_{offset, 0, false}, visit_(visit) {}

    void add(uint64_t length, bool zero) {
        if (length == 0 || stopped_) return;
        if (pending_.length > 0 && pending_.zero != zero) flush();
        pending_.zero = zero;
        pending_.length += length;
    }
    void flush() {
        if (pending_.length > 0 && !stopped_) stopped_ = !visit_(pending_);
        pending_ = {pending_.offset + pending_.length, 0, false};
    }
    bool stopped() const { return stopped_; }

  private:
    Extent pending_;
    const std::function<bool(const Extent&)>& visit_;
    bool stopped_ = false;
};

void add_file_extents(const FileRange& range, uint64_t length, ExtentJoiner& joiner) {
    uint64_t at = range.offset, end = range.offset + length;
    while (at < end && !joiner.stopped()) {
        File::Run run = range.file->next_data(at, end);
        joiner.add(run.start - at, true);
        joiner.add(run.stop - run.start, false);
        at = run.stop;
    }
}

}  // namespace

Result<void> visit_extents(const Source& source, uint64_t offset, uint64_t length,
                           const std::function<bool(const Extent&)>& visit) {
    // A window bounds how far map() looks ahead of a visitor that stops early.
    constexpr uint64_t window_bytes = 4 * GiB;
    ExtentJoiner joiner(offset, visit);
    PieceList pieces;
    uint64_t end = offset + length;
    while (offset < end && !joiner.stopped()) {
        pieces.clear();
        TRY(source.map(offset, std::min(window_bytes, end - offset), pieces));
        if (pieces.length() == 0 || pieces.length() > end - offset)
            return fail(EIO, "extents of {} bytes at offset {}: the source answers for {} bytes", end - offset, offset,
                        pieces.length());
        for (const Piece& piece : pieces.pieces()) {
            if (auto* range = std::get_if<FileRange>(&piece.what))
                add_file_extents(*range, piece.length, joiner);
            else
                joiner.add(piece.length, std::holds_alternative<Zeros>(piece.what));
        }
        offset += pieces.length();
    }
    joiner.flush();
    return {};
}

namespace {

void announce_far(const File& file, uint64_t offset, uint64_t length) {
    if (file.far_reader() == nullptr || offset >= file.size_bytes()) return;
    file.far_reader()->will_need(offset, std::min(length, file.size_bytes() - offset));
}

}  // namespace

void begin_fetching(std::span<const Piece> pieces) {
    for (const Piece& piece : pieces) {
        if (auto* plain = std::get_if<FileRange>(&piece.what))
            announce_far(*plain->file, plain->offset, piece.length);
        else if (auto* packed = std::get_if<CompressedRange>(&piece.what))
            announce_far(*packed->file, packed->offset, packed->stored_bytes);
    }
}

Result<void> prefetch(const Source& source, uint64_t offset, uint64_t length) {
    auto announce = [](const File& file, uint64_t from, uint64_t bytes) {
        if (file.far_reader() != nullptr) return announce_far(file, from, bytes);
        ::posix_fadvise(file.fd(), static_cast<off_t>(from), static_cast<off_t>(bytes), POSIX_FADV_WILLNEED);
    };
    PieceList pieces;
    for (uint64_t end = offset + length; offset < end; offset += pieces.length()) {
        pieces.clear();
        TRY(source.map(offset, end - offset, pieces));
        if (pieces.length() == 0) break;
        for (const Piece& piece : pieces.pieces()) {
            if (auto* plain = std::get_if<FileRange>(&piece.what))
                announce(*plain->file, plain->offset, piece.length);
            else if (auto* packed = std::get_if<CompressedRange>(&piece.what))
                announce(*packed->file, packed->offset, packed->stored_bytes);
        }
    }
    return {};
}

uint32_t preferred_request_bytes(const Source& source) {
    constexpr uint32_t plain = 4096, compressed = 65536;
    PieceList pieces;
    uint64_t length = std::min<uint64_t>(source.size_bytes(), MiB);
    if (length == 0 || !source.map(0, length, pieces)) return plain;
    bool packed = std::ranges::any_of(pieces.pieces(), [](const Piece& piece) {
        return std::holds_alternative<CompressedRange>(piece.what);
    });
    return packed ? compressed : plain;
}

Result<void> FileSource::map(uint64_t offset, uint64_t length, PieceList& out) const {
    out.file(file_, offset_ + offset, length);
    return {};
}

Result<void> PaddedSource::map(uint64_t offset, uint64_t length, PieceList& out) const {
    return map_zero_extended(*inner_, offset, length, out);
}

Result<void> map_zero_extended(const Source& inner, uint64_t offset, uint64_t length, PieceList& out) {
    uint64_t size = inner.size_bytes();
    uint64_t inside = offset < size ? std::min(length, size - offset) : 0;
    uint64_t before = out.length();
    if (inside > 0) TRY(inner.map(offset, inside, out));
    if (out.length() - before == inside) out.zeros(length - inside);
    return {};
}

Result<void> map_parent(const Source* parent, uint64_t offset, uint64_t length, PieceList& out) {
    if (parent == nullptr) {
        out.absent(length);
        return {};
    }
    PieceList::Parent deeper(out);
    return map_zero_extended(*parent, offset, length, out);
}

}  // namespace hyper
