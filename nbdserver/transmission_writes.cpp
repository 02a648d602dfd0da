// SPDX-License-Identifier: Apache-2.0
// Writes, see the design note of transmission.h.
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "blockengine/base/log.h"
#include "nbdserver/connection.h"
#include "nbdserver/transmission.h"

namespace hyper::nbd {

namespace {

constexpr uint64_t block_bytes = 4096;
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

int write_error(const Export& exported, const Result<void>& result) {
    if (result) return 0;
    log_warning("{}: {}", exported.name, result.error().message);
    return result.error().code;
}

}  // namespace

// A part that is not full yet, of a write that goes no further.
void Transmission::drop_gathering() {
    if (gathering_ == nullptr) return;
    in_flight_bytes_ -= gathering_->length;
    --gathering_->job->parts;
    recycle(*std::exchange(gathering_, nullptr));
}

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
    connection_.loop().workers().submit(whose_turn(), [this, &part, durable, exported = session_.exported] {
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

}  // namespace hyper::nbd
