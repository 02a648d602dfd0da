// SPDX-License-Identifier: Apache-2.0
// Requests as they come in, and everything that is neither a read nor a write; those are in transmission_reads.cpp and transmission_writes.cpp.
#include "nbdserver/transmission.h"

#include <algorithm>
#include <cerrno>

#include "nbdserver/command.h"
#include "nbdserver/connection.h"

namespace hyper::nbd {

namespace {

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
    connection_.loop().begun();
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

// Flush, trim, zeroes, cache.
void Transmission::let_worker_do(Job& job) {
    connection_.hold();
    connection_.loop().workers().submit(whose_turn(), [this, &job, exported = session_.exported] {
        auto given_up = [this] { return connection_.closed(); };
        int error = given_up() ? ECANCELED : logged_error(carry_out(*exported, job.request, given_up));
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
