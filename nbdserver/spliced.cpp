// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/spliced.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>

#include "blockengine/base/bytes.h"
#include "blockengine/io.h"

namespace hyper::nbd {

namespace {

constexpr uint64_t page_bytes = 4096;
// Below this, of the whole and of a piece on average, a copy costs less than the calls that avoid it.
constexpr uint32_t bytes_min = 32 << 10, bytes_per_piece_min = 8 << 10;
// Of a piece that is no file's: these are copied.
constexpr uint64_t copied_bytes_max = 16 << 10;

uint64_t pages_touched(uint64_t offset, uint64_t length) {
    return (round_up(offset + length, page_bytes) - round_down(offset, page_bytes)) / page_bytes;
}

// Whether the page cache has a whole range of a file: cachestat(2), Linux 6.5; before that nobody can tell.
bool cached(int fd, uint64_t offset, uint64_t length) {
#ifndef SYS_cachestat
    constexpr long SYS_cachestat = 451;
#endif
    struct {
        uint64_t offset, length;
    } range{offset, length};
    struct {
        uint64_t cached, dirty, writeback, evicted, recently_evicted;
    } found{};
    if (::syscall(SYS_cachestat, fd, &range, &found, 0) != 0) return false;
    return found.cached >= pages_touched(offset, length);
}

// How many of a pipe's slots, each a page or a part of one, the piece takes; nothing where it does not belong into a pipe.
std::optional<uint64_t> slots_of(const Piece& piece) {
    if (auto* range = std::get_if<FileRange>(&piece.what)) {
        if (range->file->far_reader() != nullptr) return std::nullopt;
        return pages_touched(range->offset, piece.length);
    }
    if (std::holds_alternative<CompressedRange>(piece.what) || piece.length > copied_bytes_max) return std::nullopt;
    return piece.length / page_bytes + 1;
}

bool worth_it(std::span<const Piece> pieces, uint32_t length) {
    if (length < bytes_min || pieces.size() > 1 + length / bytes_per_piece_min) return false;
    uint64_t slots = 0;
    for (const Piece& piece : pieces) {
        auto taken = slots_of(piece);
        if (!taken) return false;
        slots += *taken;
    }
    if (slots > PipePool::capacity_bytes / page_bytes) return false;
    for (const Piece& piece : pieces)
        if (auto* range = std::get_if<FileRange>(&piece.what))
            if (!cached(range->file->fd(), range->offset, piece.length)) return false;
    return true;
}

bool put_file(const Pipe& pipe, const FileRange& range, uint64_t length) {
    auto at = static_cast<off64_t>(range.offset);
    for (uint64_t filled = 0; filled < length;) {
        ssize_t moved = ::splice(range.file->fd(), &at, pipe.write_end(), nullptr, length - filled, SPLICE_F_NONBLOCK);
        if (moved <= 0) return false;
        filled += static_cast<uint64_t>(moved);
    }
    return true;
}

bool put_copy(const Pipe& pipe, const Piece& piece) {
    std::array<std::byte, copied_bytes_max> bytes;
    auto out = std::span(bytes).first(piece.length);
    if (auto* computed = std::get_if<Computed>(&piece.what)) {
        NoWait no_wait;
        if (!computed->producer->produce(computed->offset, out)) return false;
    } else {
        std::ranges::fill(out, std::byte{0});
    }
    return ::write(pipe.write_end(), out.data(), out.size()) == static_cast<ssize_t>(out.size());
}

}  // namespace

Pipe spliced(PipePool& pipes, std::span<const Piece> pieces, uint32_t length) {
    if (!worth_it(pieces, length)) return {};
    Pipe pipe = pipes.take();
    if (!pipe) return {};
    for (const Piece& piece : pieces) {
        auto* range = std::get_if<FileRange>(&piece.what);
        if (range != nullptr ? put_file(pipe, *range, piece.length) : put_copy(pipe, piece)) continue;
        pipes.forget();
        return {};
    }
    return pipe;
}

}  // namespace hyper::nbd
