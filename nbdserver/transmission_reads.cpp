// SPDX-License-Identifier: Apache-2.0
// Reads, see the design note of transmission.h.
#include <algorithm>
#include <cerrno>

#include "blockengine/base/log.h"
#include "blockengine/file_reads.h"
#include "nbdserver/command.h"
#include "nbdserver/connection.h"
#include "nbdserver/spliced.h"
#include "nbdserver/transmission.h"

namespace hyper::nbd {

namespace {

constexpr uint64_t block_bytes = 4096;
// Zeros of fewer bytes are sent as data rather than as a chunk of their own.
constexpr uint64_t hole_bytes_min = block_bytes;

}  // namespace

void Transmission::pump() {
    while (!reads_.empty() && issue(*reads_.front())) {}
}

bool Transmission::may_hold(uint32_t bytes) {
    if (in_flight_bytes_ == 0 && bytes <= part_bytes) return true;
    if (in_flight_bytes_ > 0 && in_flight_bytes_ + bytes > in_flight_bytes_max) return false;
    Loop& loop = connection_.loop();
    if (loop.buffers().used_bytes() + bytes <= Loop::in_flight_bytes_max) return true;
    loop.wait_for_memory(connection_);
    return false;
}

// The next part of the first read; false where it has to wait. The job may be retired on return.
bool Transmission::issue(Job& job) {
    bool whole = in_one(job);
    uint64_t offset = job.cursor, rest = end_of(job) - offset;
    auto length = static_cast<uint32_t>(whole ? rest : std::min<uint64_t>(part_bytes - offset % block_bytes, rest));
    if (!may_hold(length)) return false;
    PieceList& list = connection_.loop().scratch();
    list.clear();
    bool mapped;
    {
        NoWait no_wait;
        mapped = exported().source->map(offset, length, list).has_value();
    }
    std::span<const Piece> pieces = list.pieces();
    if (!mapped || pieces.empty() || list.length() > length || (whole && list.length() < length)) {
        advance(job, length);
        read(job, offset, length, {});
        return true;
    }
    auto is_hole = [](const Piece& piece) {
        return std::holds_alternative<Zeros>(piece.what) && piece.length >= hole_bytes_min;
    };
    if (!whole && is_hole(pieces[0])) {
        length = static_cast<uint32_t>(pieces[0].length);
        advance(job, length);
        send_hole(job, offset, length);
        return true;
    }
    if (!whole) {
        pieces = {pieces.begin(), std::ranges::find_if(pieces, is_hole)};
        length = 0;
        for (const Piece& piece : pieces) length += static_cast<uint32_t>(piece.length);
    }
    advance(job, length);
    read(job, offset, length, pieces);
    list.clear();  // it must not keep files open
    return true;
}

// Before the part is carried out, so that whoever ends it knows whether it was the last.
void Transmission::advance(Job& job, uint64_t length) {
    job.cursor += length;
    if (job.cursor == end_of(job)) reads_.pop_front();
}

void Transmission::send_hole(Job& job, uint64_t offset, uint32_t length) {
    bool done = complete(job);
    ReplyHead head = hole_head(session_.mode, job.request, offset, length, done);
    if (done) return answer(job, head);
    connection_.output().add(head);
    connection_.loop().later(connection_);
}

// `pieces` are what the range is made of, or nothing where that could not be told without waiting.
void Transmission::read(Job& job, uint64_t offset, uint32_t length, std::span<const Piece> pieces) {
    if (splice(job, offset, length, pieces)) return;
    Part& part = new_part(job, offset, length);
    if (!queue_reads(part, pieces)) {
        begin_fetching(pieces);  // however many there are, the workers wait for what is under way
        let_worker_read(part);
    } else if (part.reads_pending == 0) {
        read_done(part, 0);
    }
}

bool Transmission::splice(Job& job, uint64_t offset, uint32_t length, std::span<const Piece> pieces) {
    if (pieces.empty() || !connection_.may_splice()) return false;
    Pipe pipe = spliced(connection_.loop().pipes(), pieces, length);
    if (!pipe) return false;
    in_flight_bytes_ += length;
    bool done = complete(job);
    connection_.output().add({.head = data_head(session_.mode, job.request, offset, length, done),
                              .pipe = std::move(pipe),
                              .body_bytes = length,
                              .charge = length});
    connection_.loop().later(connection_);
    if (done) retire(job);
    return true;
}

// false where a worker has to do it; then nothing is under way.
bool Transmission::queue_reads(Part& part, std::span<const Piece> pieces) {
    if (pieces.empty()) return false;
    NoWait no_wait;
    if (!fill_at_hand(part, pieces)) return false;
    const std::vector<size_t>& pending = pieces_pending_;
    part.reads.reserve(pending.size());
    FarReads far_reads;
    size_t next = 0;
    std::byte* at = part.buffer.data();
    for (size_t i = 0; i < pieces.size() && next < pending.size(); at += pieces[i++].length) {
        if (pending[next] != i) continue;
        ++next;
        auto& range = std::get<FileRange>(pieces[i].what);
        std::span<std::byte> buffer(at, pieces[i].length);
        PieceRead& read = part.reads.emplace_back();
        read.part = &part;
        read.file = range.file;
        read.length = buffer.size();
        ++part.reads_pending;
        connection_.hold();
        if (range.file->far_reader() != nullptr)
            far_reads.add(*range.file, far_read(read, buffer, range.offset));
        else
            connection_.loop().ring().read(read, range.file->fd(), buffer, range.offset);
    }
    far_reads.begin();
    return true;
}

// Fills in what nothing has to be waited for, and finds the pieces that have to be read; false where a worker has to.
bool Transmission::fill_at_hand(Part& part, std::span<const Piece> pieces) {
    pieces_pending_.clear();
    std::byte* at = part.buffer.data();
    for (size_t i = 0; i < pieces.size(); at += pieces[i++].length) {
        const Piece& piece = pieces[i];
        std::span<std::byte> buffer(at, piece.length);
        if (std::holds_alternative<CompressedRange>(piece.what)) return false;
        if (std::holds_alternative<Zeros>(piece.what)) std::memset(at, 0, piece.length);
        if (auto* computed = std::get_if<Computed>(&piece.what))
            if (!computed->producer->produce(computed->offset, buffer)) return false;
        if (auto* range = std::get_if<FileRange>(&piece.what)) {
            FarReader* far = range->file->far_reader();
            if (far != nullptr && !range_within(range->offset, piece.length, range->file->size_bytes())) return false;
            auto at_hand = far == nullptr ? FarReader::AtHand::no : far->read_at_hand(range->offset, buffer);
            if (at_hand == FarReader::AtHand::on_disk) return false;
            if (at_hand == FarReader::AtHand::no) pieces_pending_.push_back(i);
        }
    }
    return true;
}

FarReader::Read Transmission::far_read(PieceRead& read, std::span<std::byte> buffer, uint64_t offset) {
    return {offset, buffer, [&read, &loop = connection_.loop(), offset](Result<void> result) {
                int error = 0;
                if (!result) {
                    error = read_error_code(result.error().code);
                    log_warning("{}: read {} bytes at offset {}: {}", read.file->path(), read.length, offset, result.error().message);
                }
                loop.post([&read, error] {
                    if (error != 0) read.part->error = error;
                    read.ended();
                });
            }};
}

void Transmission::PieceRead::completed(int result, uint32_t) {
    part->failed |= result != static_cast<int>(length);
    ended();
}

void Transmission::PieceRead::ended() {
    Transmission& owner = *part->owner;
    file.reset();
    if (--part->reads_pending == 0) {
        if (part->error != 0)
            owner.read_done(*part, part->error);
        else if (part->failed)
            owner.let_worker_read(*part);
        else
            owner.read_done(*part, 0);
    }
    owner.connection_.release();
}

void Transmission::let_worker_read(Part& part) {
    connection_.hold();
    connection_.loop().workers().submit(&connection_, [this, &part, exported = session_.exported] {
        Loop& loop = connection_.loop();
        std::span<std::byte> buffer(part.buffer.data(), part.length);
        int error = connection_.closed() ? ECANCELED : logged_error(loop.engine().read(*exported->source, part.offset, buffer));
        loop.post([this, &part, error] {
            read_done(part, error);
            connection_.release();
        });
    });
}

void Transmission::read_done(Part& part, int error) {
    Job& job = *part.job;
    --job.parts;
    bool done = complete(job);
    if (error != 0) {
        job.error = error;
        in_flight_bytes_ -= part.length;
        connection_.output().add(read_error_head(session_.mode, job.request, part.offset, error, done));
    } else {
        connection_.output().add({.head = data_head(session_.mode, job.request, part.offset, part.length, done),
                                  .body = std::move(part.buffer),
                                  .body_bytes = part.length,
                                  .charge = part.length});
    }
    recycle(part);
    connection_.loop().later(connection_);
    if (done) retire(job);
}

}  // namespace hyper::nbd
