// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/watch/trace.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "blockengine/base/log.h"

namespace hyper::watch {

namespace {

constexpr size_t write_bytes = 256 << 10;

uint64_t monotonic_ns() {
    return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch() /
                                 std::chrono::nanoseconds(1));
}

}  // namespace

TraceRing::TraceRing(size_t capacity, int wake_fd)
    : capacity_(capacity), slots_(std::make_unique<Slot[]>(capacity)), wake_fd_(wake_fd) {}

void TraceRing::record(const TracedRequest& request, uint32_t export_id) {
    uint64_t written = written_.load(std::memory_order_relaxed);
    uint64_t held = written - taken_.load(std::memory_order_acquire);
    if (held == capacity_) [[unlikely]] {
        left_out_.store(left_out_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        return;
    }
    slots_[written % capacity_] = {request, export_id};
    written_.store(written + 1, std::memory_order_release);
    // Not at every request: a write to an eventfd is a system call.
    if (held + 1 == capacity_ / 2) [[unlikely]]
        ::eventfd_write(wake_fd_, 1);
}

Result<std::unique_ptr<Trace>> Trace::create(const std::string& path) {
    int file_fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file_fd < 0) return fail(errno, "trace {}: create: {}", path, errno_text(errno));
    int wake_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd < 0) {
        int code = errno;
        ::close(file_fd);
        return fail(code, "trace {}: eventfd: {}", path, errno_text(code));
    }
    return std::unique_ptr<Trace>(new Trace(path, file_fd, wake_fd));
}

Trace::Trace(std::string path, int file_fd, int wake_fd)
    : path_(std::move(path)), file_fd_(file_fd), wake_fd_(wake_fd), start_ns_(monotonic_ns()) {
    writer_ = std::thread([this] { write_until_stopped(); });
}

Trace::~Trace() {
    stop_ = true;
    ::eventfd_write(wake_fd_, 1);
    writer_.join();
    ::close(file_fd_);
    ::close(wake_fd_);
}

TraceRing& Trace::add_ring() {
    std::lock_guard lock(mutex_);
    return *rings_.emplace_back(std::make_unique<TraceRing>(ring_requests, wake_fd_));
}

uint32_t Trace::export_id(const std::string& export_name) {
    std::lock_guard lock(mutex_);
    auto [entry, added] =
        export_ids_.try_emplace(export_name, static_cast<uint32_t>(export_texts_.size()));
    if (added) export_texts_.push_back(escape_export(export_name));
    return entry->second;
}

void Trace::write_until_stopped() {
    std::string head = trace_head();
    write_out(head);
    for (;;) {
        bool last = stop_;
        drain();
        if (last) return;
        pollfd wake{wake_fd_, POLLIN, 0};
        eventfd_t ignored;
        if (::poll(&wake, 1, write_ms_max) == 1) ::eventfd_read(wake_fd_, &ignored);
    }
}

void Trace::drain() {
    std::vector<TraceRing*> rings;
    {
        std::lock_guard lock(mutex_);
        for (const auto& ring : rings_) rings.push_back(ring.get());
    }
    std::string text;
    for (TraceRing* ring : rings) drain(*ring, text);
    write_out(text);
}

void Trace::drain(TraceRing& ring, std::string& text) {
    uint64_t taken = ring.taken_.load(std::memory_order_relaxed),
             end = ring.written_.load(std::memory_order_acquire);
    for (; taken != end; ++taken) {
        TraceRing::Slot slot = ring.slots_[taken % ring.capacity_];
        ring.taken_.store(taken + 1, std::memory_order_release);
        slot.request.start_ns =
            slot.request.start_ns > start_ns_ ? slot.request.start_ns - start_ns_ : 0;
        append_trace_line(text, slot.request, export_text(slot.export_id));
        if (text.size() >= write_bytes) write_out(text);
    }
    uint64_t left_out = ring.left_out_.load(std::memory_order_relaxed);
    if (left_out == ring.left_out_told_) return;
    append_left_out_line(text, left_out - ring.left_out_told_);
    ring.left_out_told_ = left_out;
}

void Trace::write_out(std::string& text) {
    size_t done = 0;
    while (done < text.size() && !broken_) {
        ssize_t count = ::write(file_fd_, text.data() + done, text.size() - done);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) {
            log_error("trace {}: write: {}; nothing more is traced", path_, errno_text(errno));
            broken_ = true;
        } else {
            done += static_cast<size_t>(count);
        }
    }
    text.clear();
}

const std::string& Trace::export_text(uint32_t id) {
    if (id >= known_texts_.size()) {
        std::lock_guard lock(mutex_);
        known_texts_ = export_texts_;
    }
    return known_texts_[id];
}

}  // namespace hyper::watch
