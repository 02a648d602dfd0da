// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/transmission.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "blockengine/base/log.h"
#include "blockengine/file_reads.h"
#include "nbdserver/connection.h"

namespace hyper::nbd {

namespace {

constexpr uint64_t block_bytes = 4096;
// Below this a copy costs less than the calls that avoid it.
constexpr uint32_t splice_bytes_min = 32 << 10;
// Zeros of fewer bytes are sent as data rather than as a chunk of their own.
constexpr uint64_t hole_bytes_min = block_bytes;
constexpr size_t descriptors_max = 2048;
constexpr uint64_t slow_write_ns = 20'000'000, slow_write_pause_ns = 1'000'000'000;

uint64_t clock_ns() {
    timespec now;
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

// How often this thread has given the processor away to wait for something.
int64_t voluntary_switches() {
    rusage usage{};
    ::getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
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
    return found.cached * block_bytes >= round_up(offset + length, block_bytes) - round_down(offset, block_bytes);
}

watch::Command counted_as(uint16_t type) {
    switch (type) {
        case CMD_READ:
            return watch::Command::read;
        case CMD_WRITE:
            return watch::Command::write;
        case CMD_FLUSH:
            return watch::Command::flush;
        case CMD_TRIM:
            return watch::Command::trim;
        case CMD_CACHE:
            return watch::Command::cache;
        case CMD_WRITE_ZEROES:
            return watch::Command::write_zeroes;
        default:
            return watch::Command::block_status;
    }
}

int code_of(const Result<void>& result) {
    if (result) return 0;
    // Fast zeroing that is not to be had is an answer, and no failure.
    if (result.error().code != ENOTSUP) log_warning("{}", result.error().message);
    return result.error().code;
}

int write_error(const Export& exported, const Result<void>& result) {
    if (result) return 0;
    log_warning("{}: {}", exported.name, result.error().message);
    return result.error().code;
}

// The payload of a BLOCK_STATUS chunk.
Bytes status_payload(const ChosenContext& chosen, const Request& request, Mode mode, int& error) {
    bool extended = mode == Mode::extended;
    size_t limit = (request.flags & FLAG_REQ_ONE) != 0 ? 1 : descriptors_max;
    Bytes payload;
    auto append = [&](auto wire) {
        auto bytes = bytes_of(wire);
        payload.insert(payload.end(), bytes.begin(), bytes.end());
    };
    append(be32(chosen.id));
    if (extended) append(be32(0));
    size_t count = 0;
    error = code_of(chosen.context->describe(request.offset, request.length, [&](uint64_t length, uint64_t state) {
        if (extended) {
            append(be64(length));
            append(be64(state));
        } else {
            append(be32(static_cast<uint32_t>(length)));
            append(be32(static_cast<uint32_t>(state)));
        }
        return ++count < limit;
    }));
    if (extended) store_be(payload.data() + sizeof(be32), static_cast<uint32_t>(count));
    return payload;
}

Result<void> carry_out(const Export& exported, const Request& request) {
    WritableDisk* disk = exported.writable.get();
    switch (request.type) {
        case CMD_CACHE:
            return prefetch(*exported.source, request.offset, request.length);
        case CMD_TRIM:
            TRY(disk->trim(request.offset, request.length));
            break;
        case CMD_WRITE_ZEROES:
            TRY(disk->zero(request.offset, request.length, (request.flags & FLAG_NO_HOLE) != 0,
                           (request.flags & FLAG_FAST_ZERO) != 0));
            break;
        default:
            break;
    }
    if (request.type == CMD_FLUSH || (request.flags & FLAG_FUA) != 0) TRY(disk->flush());
    return {};
}

}  // namespace

Transmission::Transmission(Connection& connection, Session session, std::unique_ptr<watch::OpenClient> client,
                           uint32_t trace_id)
    : connection_(connection), session_(std::move(session)), client_(std::move(client)), trace_id_(trace_id) {}

Transmission::~Transmission() = default;

// Jobs and parts.

Transmission::Job& Transmission::new_job(const Request& request) {
    if (idle_jobs_.empty()) {
        all_jobs_.push_back(std::make_unique<Job>());
        idle_jobs_.push_back(all_jobs_.back().get());
    }
    Job& job = *idle_jobs_.back();
    idle_jobs_.pop_back();
    job = {request, connection_.loop().now_ns(), request.offset};
    ++jobs_;
    return job;
}

Transmission::Part& Transmission::new_part(Job& job, uint64_t offset, uint32_t length) {
    if (idle_parts_.empty()) {
        parts_.push_back(std::make_unique<Part>());
        idle_parts_.push_back(parts_.back().get());
    }
    Part& part = *idle_parts_.back();
    idle_parts_.pop_back();
    part.owner = this;
    part.job = &job;
    part.offset = offset;
    part.length = length;
    part.buffer = connection_.loop().buffers().take(length);
    part.reads_pending = 0;
    part.failed = false;
    part.error = 0;
    ++job.parts;
    in_flight_bytes_ += length;
    return part;
}

void Transmission::recycle(Part& part) {
    part.buffer = {};
    part.reads.clear();
    idle_parts_.push_back(&part);
}

void Transmission::answer(Job& job, const ReplyHead& head) {
    connection_.output().add(head);
    retire(job);
}

void Transmission::retire(Job& job) {
    if (job.request.type <= CMD_BLOCK_STATUS && job.request.type != CMD_DISC) {
        uint64_t latency_ns = connection_.loop().now_ns() - job.started_ns;
        watch::Command command = counted_as(job.request.type);
        client_->count(command, job.request.length, latency_ns, job.error != 0);
        if (watch::TraceRing* trace = connection_.loop().trace())
            trace->record({job.started_ns, latency_ns, client_->id(), job.request.offset, job.request.length, job.error,
                           job.request.flags, command},
                          trace_id_);
    }
    idle_jobs_.push_back(&job);
    --jobs_;
    connection_.loop().later(connection_);
}

// Taking requests in.

bool Transmission::backlogged() {
    Loop& loop = connection_.loop();
    if (in_flight_bytes_ > 0 && loop.buffers().used_bytes() > Loop::in_flight_bytes_max) {
        loop.wait_for_memory(connection_);
        return true;
    }
    return !reads_.empty() || jobs_ + connection_.output().items() >= jobs_max || in_flight_bytes_ >= in_flight_bytes_max;
}

bool Transmission::take(std::span<const std::byte>& input) {
    checked_ns_ = connection_.loop().now_ns();
    switches_before_ = -1;
    size_t header_bytes = request_header_bytes(session_.mode);
    while (!input.empty() && !disconnected_) {
        if (payload_left_ > 0) {
            if (!take_payload(input)) return false;
            continue;
        }
        if (backlogged() || connection_.pausing()) return false;
        std::span<const std::byte> header;
        if (header_filled_ == 0 && input.size() >= header_bytes) {
            header = input.first(header_bytes);
            input = input.subspan(header_bytes);
        } else {
            size_t taken = std::min(header_bytes - header_filled_, input.size());
            std::memcpy(header_.data() + header_filled_, input.data(), taken);
            input = input.subspan(taken);
            header_filled_ += taken;
            if (header_filled_ < header_bytes) return true;
            header_filled_ = 0;
            header = std::span(header_).first(header_bytes);
        }
        auto request = parse_request(header, session_.mode);
        if (request)
            begin(*request);
        else
            disconnected_ = true;
    }
    return true;
}

void Transmission::begin(const Request& request) {
    if (request.type == CMD_DISC || request.payload_bytes > payload_bytes_max) {
        disconnected_ = true;
        return;
    }
    Job& job = new_job(request);
    job.error = check_request(request, session_);
    if (request.payload_bytes > 0) {
        payload_job_ = &job;
        payload_left_ = request.payload_bytes;
        carried_ = 0;
        payload_by_worker_ = (request.flags & FLAG_FUA) != 0 || connection_.loop().now_ns() < slow_until_ns_;
    } else if (job.error != 0) {
        answer(job, status_head(session_.mode, request, job.error));
    } else if (request.type == CMD_READ) {
        reads_.push_back(&job);
        pump();
    } else if (request.type == CMD_BLOCK_STATUS) {
        let_worker_tell(job);
    } else {
        let_worker_do(job);
    }
}

void Transmission::end_input() {
    if (payload_job_ == nullptr) return;
    Job& job = *payload_job_;
    payload_job_ = nullptr;
    payload_left_ = 0;
    drop_gathering();
    if (job.error == 0) job.error = ECANCELED;
    // What its workers write still ends.
    job.cursor = end_of(job);
    if (job.parts == 0) retire(job);
}

// A part that is not full yet, of a write that goes no further.
void Transmission::drop_gathering() {
    if (gathering_ == nullptr) return;
    in_flight_bytes_ -= gathering_->length;
    --gathering_->job->parts;
    recycle(*std::exchange(gathering_, nullptr));
}

// Reads.

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
    if (pieces.size() != 1 || length < splice_bytes_min || !connection_.may_splice()) return false;
    auto* range = std::get_if<FileRange>(&pieces[0].what);
    if (range == nullptr || range->file->far_reader() != nullptr || range->offset % block_bytes + length > PipePool::capacity_bytes) return false;
    int fd = range->file->fd();
    if (!cached(fd, range->offset, length)) return false;
    PipePool& pipes = connection_.loop().pipes();
    Pipe pipe = pipes.take();
    if (!pipe) return false;
    auto at = static_cast<off64_t>(range->offset);
    for (size_t filled = 0; filled < length;) {
        ssize_t moved = ::splice(fd, &at, pipe.write_end(), nullptr, length - filled, SPLICE_F_NONBLOCK);
        if (moved <= 0) {
            pipes.forget();
            return false;
        }
        filled += static_cast<size_t>(moved);
    }
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
        int error = connection_.closed() ? ECANCELED : code_of(loop.engine().read(*exported->source, part.offset, buffer));
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

// Writes.

// false where the rest has to wait for memory.
bool Transmission::take_payload(std::span<const std::byte>& input) {
    Job& job = *payload_job_;
    if (job.error == 0 && payload_by_worker_) {
        if (!gather_payload(input)) return false;
    } else {
        drop_gathering();  // an earlier part may have failed meanwhile
        size_t taken = std::min<uint64_t>(payload_left_, input.size());
        payload_left_ -= taken;
        if (job.error == 0) write_payload(input.first(taken));
        input = input.subspan(taken);
    }
    if (payload_left_ > 0) return true;
    payload_job_ = nullptr;
    job.cursor = end_of(job);
    if (job.parts == 0) answer(job, status_head(session_.mode, job.request, job.error));
    return true;
}

// Writes what has arrived, but for the start of a block whose rest is still to come.
void Transmission::write_payload(std::span<const std::byte> data) {
    Job& job = *payload_job_;
    uint64_t available = job.cursor + carried_ + data.size();
    uint64_t stop = payload_left_ == 0 ? available : round_down(available, block_bytes);
    if (stop <= job.cursor) {
        std::memcpy(carry_.data() + carried_, data.data(), data.size());
        carried_ += data.size();
        return;
    }
    size_t now = stop - job.cursor - carried_;
    std::span<const std::byte> carried = std::span(carry_).first(carried_), arrived = data.first(now);
    job.error = write_now(job.cursor, carried, arrived);
    if (job.error == EAGAIN) {
        job.error = 0;
        Part& part = new_part(job, job.cursor, static_cast<uint32_t>(stop - job.cursor));
        std::ranges::copy(carried, part.buffer.data());
        std::ranges::copy(arrived, part.buffer.data() + carried.size());
        let_worker_write(part);
    }
    job.cursor = stop;
    carried_ = data.size() - now;
    std::memcpy(carry_.data(), data.data() + now, carried_);
}

// 0 or an errno: EAGAIN where it would have to wait.
int Transmission::write_now(uint64_t offset, std::span<const std::byte> first, std::span<const std::byte> second) {
    std::array<iovec, 2> pieces;
    size_t count = 0;
    for (auto bytes : {first, second})
        if (!bytes.empty()) pieces[count++] = {const_cast<std::byte*>(bytes.data()), bytes.size()};
    if (switches_before_ < 0) switches_before_ = voluntary_switches();
    Result<void> result;
    {
        NoWait no_wait;
        result = write(*exported().writable, offset, std::span(pieces).first(count), false);
    }
    if (!result && result.error().code == EAGAIN) return EAGAIN;
    uint64_t now = clock_ns();
    // It took long because it waited, and not because others had the processor.
    if (now - checked_ns_ > slow_write_ns && voluntary_switches() > switches_before_)
        slow_until_ns_ = now + slow_write_pause_ns;
    checked_ns_ = now;
    return write_error(exported(), result);
}

// Fills a buffer, which a worker then writes; false where there is no memory for one now.
bool Transmission::gather_payload(std::span<const std::byte>& input) {
    Job& job = *payload_job_;
    if (gathering_ == nullptr) {
        auto length = static_cast<uint32_t>(std::min<uint64_t>(payload_left_, part_bytes - job.cursor % block_bytes));
        if (!may_hold(length)) return false;
        gathering_ = &new_part(job, job.cursor, length);
        gathered_ = 0;
    }
    size_t taken = std::min<size_t>(gathering_->length - gathered_, input.size());
    std::memcpy(gathering_->buffer.data() + gathered_, input.data(), taken);
    input = input.subspan(taken);
    gathered_ += static_cast<uint32_t>(taken);
    job.cursor += taken;
    payload_left_ -= taken;
    if (gathered_ == gathering_->length) let_worker_write(*std::exchange(gathering_, nullptr));
    return true;
}

void Transmission::let_worker_write(Part& part) {
    connection_.hold();
    bool durable = (part.job->request.flags & FLAG_FUA) != 0;
    connection_.loop().workers().submit(&connection_, [this, &part, durable, exported = session_.exported] {
        std::span<const std::byte> bytes(part.buffer.data(), part.length);
        int error = connection_.closed()
                        ? ECANCELED
                        : write_error(*exported, write(*exported->writable, part.offset, bytes, durable));
        connection_.loop().post([this, &part, error] {
            Job& job = *part.job;
            --job.parts;
            if (job.error == 0) job.error = error;
            in_flight_bytes_ -= part.length;
            recycle(part);
            if (complete(job) && &job != payload_job_) answer(job, status_head(session_.mode, job.request, job.error));
            connection_.release();
        });
    });
}

// Flush, trim, zeroes, cache.
void Transmission::let_worker_do(Job& job) {
    connection_.hold();
    connection_.loop().workers().submit(&connection_, [this, &job, exported = session_.exported] {
        int error = connection_.closed() ? ECANCELED : code_of(carry_out(*exported, job.request));
        connection_.loop().post([this, &job, error] {
            job.error = error;
            answer(job, status_head(session_.mode, job.request, error));
            connection_.release();
        });
    });
}

// Block status: a chunk for each context.
void Transmission::let_worker_tell(Job& job) {
    struct Told {
        int error = 0;
        std::vector<Bytes> payloads;
    };
    // Charged as the longest answer, until it is known.
    uint64_t charge = session_.contexts.size() * descriptors_max * sizeof(be64) * 2;
    in_flight_bytes_ += charge;
    connection_.hold();
    connection_.loop().workers().submit(&connection_, [this, &job, charge] {
        auto told = std::make_shared<Told>();
        for (const ChosenContext& chosen : session_.contexts) {
            if (connection_.closed()) told->error = ECANCELED;
            if (told->error == 0)
                told->payloads.push_back(status_payload(chosen, job.request, session_.mode, told->error));
        }
        connection_.loop().post([this, &job, told, charge] {
            in_flight_bytes_ -= charge;
            ChunkType type = session_.mode == Mode::extended ? CHUNK_BLOCK_STATUS_EXT : CHUNK_BLOCK_STATUS;
            for (size_t i = 0; i < told->payloads.size() && told->error == 0; ++i) {
                const Bytes& payload = told->payloads[i];
                bool done = i + 1 == told->payloads.size();
                auto bytes = static_cast<uint32_t>(payload.size());
                Buffer body = connection_.loop().buffers().take(bytes);
                std::memcpy(body.data(), payload.data(), bytes);
                auto held = static_cast<uint32_t>(body.capacity());
                in_flight_bytes_ += held;
                connection_.output().add({.head = chunk_head(session_.mode, job.request, type, done, bytes),
                                          .body = std::move(body),
                                          .body_bytes = bytes,
                                          .charge = held});
            }
            job.error = told->error;
            if (told->error != 0)
                answer(job, status_head(session_.mode, job.request, told->error));
            else
                retire(job);
            connection_.release();
        });
    });
}

}  // namespace hyper::nbd
