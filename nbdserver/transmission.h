// SPDX-License-Identifier: Apache-2.0
// The second phase of the protocol: requests of one connection, carried out side by side.
//
// Design note. To be read beside the section "Transmission phase" of the NBD specification.
//
// A read is carried out in parts of at most part_bytes, each of which becomes a chunk of its own, so that a large request
// holds little memory and starts to answer early; a client without structured replies, or with DF, gets it in one.
// A part is, in this order: a hole, where the source says zeros; pages of a file that are handed from the page cache to
// the socket (spliced.h), where it is large, in few runs and cached; reads in the loop's ring, and fetches of what is far away, which are
// as many at a time as are asked for, since no thread waits for them; or, where the map would wait for a
// table, or a unit has to be decompressed, or anything went wrong, one Engine::read() by a worker, which also finds the words.
//
// A write goes to the file as it arrives, without being gathered first, in whole blocks of 4 KiB: a block that is cut
// in two by a receive is put together, so that a client that dies leaves no torn sector. It goes to the page cache from within the
// loop; when that once takes long (the kernel slows down writers to a busy disk), the writes of the next second go
// to workers, and so does what the disk cannot take without waiting (the rest of a sector has to be read first). Everything else that may wait (FUA, flush, trim, zeroes, block status) is for workers.
//
// What a connection holds in memory at a time is bounded by in_flight_bytes_max, and for all connections of a loop by
// Loop::in_flight_bytes_max; but one part is always allowed, so nobody is starved.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "blockengine/far_reader.h"
#include "blockengine/ring.h"
#include "nbdserver/buffer.h"
#include "nbdserver/handshake.h"
#include "nbdserver/output.h"
#include "nbdserver/request.h"
#include "nbdserver/watch/registry.h"

namespace hyper::nbd {

class Connection;

// Bound to its loop's thread.
class Transmission {
  public:
    static constexpr uint32_t part_bytes = 256 << 10;
    static constexpr uint32_t in_flight_bytes_max = 4 << 20;
    static constexpr size_t jobs_max = 1024;

    // `client` counts what is done.
    Transmission(Connection& connection, Session session, std::unique_ptr<watch::OpenClient> client, uint32_t trace_id);
    ~Transmission();

    // Takes requests from the front of `input`; false when it has to be asked again later, since too much is under way.
    bool take(std::span<const std::byte>& input);
    // Goes on with reads that waited for memory.
    void pump();
    // No more will arrive: a write whose data is incomplete is given up.
    void end_input();
    // So many bytes that were in flight have left.
    void sent(uint64_t bytes) {
        in_flight_bytes_ -= bytes;
        client_->set_bytes_in_flight(in_flight_bytes_);
    }

    // The client said goodbye, or something without sense.
    bool disconnected() const { return disconnected_; }
    bool idle() const { return jobs_ == 0; }
    // Whether the data of a write is arriving.
    bool in_payload() const { return payload_left_ > 0; }
    const Session& session() const { return session_; }
    // The start of a request whose rest has not arrived.
    std::span<const std::byte> begun_header() const { return std::span(header_).first(header_filled_); }

  private:
    struct Job {
        Request request;
        uint64_t started_ns;
        uint64_t cursor;         // reads: up to where parts were issued; writes: up to where data arrived
        unsigned parts = 0;      // under way
        int error = 0;
    };
    struct Part;
    struct PieceRead : Completion {
        Part* part;
        std::shared_ptr<const File> file;
        size_t length;
        void completed(int result, uint32_t flags) override;
        void ended();
    };
    // A part of a read or of a write.
    struct Part {
        Transmission* owner;
        Job* job;
        uint64_t offset;
        uint32_t length;
        Buffer buffer;
        std::vector<PieceRead> reads;
        unsigned reads_pending;
        bool failed;  // locally: a worker tries again, and finds the words
        int error;    // of what is far away
    };

    const Export& exported() const { return *session_.exported; }
    // Whom the workers take it for: a disk may hold up all who write it, and these together must leave some to others.
    const void* whose_turn() const { return exported().writable ? static_cast<const void*>(exported().writable.get()) : &connection_; }
    static uint64_t end_of(const Job& job) { return job.request.offset + job.request.length; }
    // No part is under way and none will be issued.
    static bool complete(const Job& job) { return job.cursor == end_of(job) && job.parts == 0; }
    // A read whose reply is to be in one.
    bool in_one(const Job& job) const { return session_.mode == Mode::simple || (job.request.flags & FLAG_DF) != 0; }

    bool backlogged();
    void begin(const Request& request);
    void answer(Job& job, const ReplyHead& head);
    void retire(Job& job);

    bool may_hold(uint32_t bytes);
    bool issue(Job& job);
    void advance(Job& job, uint64_t length);
    void send_hole(Job& job, uint64_t offset, uint32_t length);
    void read(Job& job, uint64_t offset, uint32_t length, std::span<const Piece> pieces);
    bool splice(Job& job, uint64_t offset, uint32_t length, std::span<const Piece> pieces);
    bool queue_reads(Part& part, std::span<const Piece> pieces);
    bool fill_at_hand(Part& part, std::span<const Piece> pieces);
    FarReader::Read far_read(PieceRead& read, std::span<std::byte> buffer, uint64_t offset);
    void let_worker_read(Part& part);
    void read_done(Part& part, int error);

    bool take_payload(std::span<const std::byte>& input);
    void write_payload(std::span<const std::byte> data);
    int write_now(uint64_t offset, std::span<const std::byte> first, std::span<const std::byte> second);
    void drop_gathering();
    bool gather_payload(std::span<const std::byte>& input);
    void let_worker_write(Part& part);

    void let_worker_do(Job& job);
    void let_worker_tell(Job& job);

    Job& new_job(const Request& request);
    Part& new_part(Job& job, uint64_t offset, uint32_t length);
    void recycle(Part& part);

    Connection& connection_;
    const Session session_;
    const std::unique_ptr<watch::OpenClient> client_;
    const uint32_t trace_id_;  // of the export
    size_t jobs_ = 0;
    uint64_t in_flight_bytes_ = 0;
    bool disconnected_ = false;
    std::deque<Job*> reads_;  // with parts still to be issued
    std::vector<size_t> pieces_pending_;  // of the part that is being queued

    std::array<std::byte, sizeof(ExtendedRequest)> header_;
    size_t header_filled_ = 0;

    Job* payload_job_ = nullptr;  // the write whose data is arriving
    uint64_t payload_left_ = 0;
    bool payload_by_worker_ = false;
    Part* gathering_ = nullptr;  // for a worker
    uint32_t gathered_ = 0;
    std::array<std::byte, 4096> carry_;  // the start of a block whose rest has not arrived
    size_t carried_ = 0;
    uint64_t checked_ns_ = 0;     // when writing was last seen to go on
    int64_t switches_before_ = -1;  // how often the thread had waited until then; -1: not asked yet
    uint64_t slow_until_ns_ = 0;  // until then it is for workers

    std::vector<std::unique_ptr<Part>> parts_;  // all that were made
    std::vector<Part*> idle_parts_;
    std::vector<std::unique_ptr<Job>> all_jobs_;
    std::vector<Job*> idle_jobs_;
};

}  // namespace hyper::nbd
