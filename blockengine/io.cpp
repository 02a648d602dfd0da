// SPDX-License-Identifier: Apache-2.0
// Design note: io_uring pays where a request falls apart into several reads (fragmented images, cold
// files): they are in the kernel together. It does not pay for a single read of cached data, where the
// extra ring work only adds to what pread costs, so a lone operation never touches the ring.
// The ring belongs to one thread and is made when that thread first has a batch. liburing marks
// its memory as not inherited by fork, so a ring made before a fork is forgotten in the child.
#include "blockengine/io.h"

#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <string>

#include "blockengine/base/log.h"
#include "blockengine/base/result.h"

namespace hyper {

namespace {

void pread_fully(ReadOp& op) {
    std::span<std::byte> rest = op.buffer;
    uint64_t offset = op.offset;
    op.error = 0;
    while (!rest.empty()) {
        ssize_t got = ::pread(op.fd, rest.data(), rest.size(), static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) {
            op.error = got < 0 ? errno : EIO;
            return;
        }
        rest = rest.subspan(static_cast<size_t>(got));
        offset += static_cast<uint64_t>(got);
    }
}

thread_local int no_wait_depth = 0;

// What the page cache has, or EAGAIN.
void read_cached(ReadOp& op) {
    iovec piece{op.buffer.data(), op.buffer.size()};
    ssize_t got = ::preadv2(op.fd, &piece, 1, static_cast<off_t>(op.offset), RWF_NOWAIT);
    // A file system without RWF_NOWAIT says so, and a file's end is found out by whoever may wait.
    op.error = got == static_cast<ssize_t>(op.buffer.size()) ? 0 : EAGAIN;
}

class PreadIo : public Io {
  public:
    void read(std::span<ReadOp> ops) override {
        for (ReadOp& op : ops) no_wait_depth > 0 ? read_cached(op) : pread_fully(op);
    }
    std::string_view name() const override { return "pread"; }
};

constexpr unsigned ring_entries = 64;

std::atomic<int> fork_generation{0};

// A ring and the thread that owns it. Bound to one thread.
class ReadRing {
  public:
    ReadRing() { error_ = -io_uring_queue_init(ring_entries, &ring_, 0); }
    ~ReadRing() {
        if (error_ == 0 && generation_ == fork_generation) io_uring_queue_exit(&ring_);
    }
    ReadRing(const ReadRing&) = delete;
    ReadRing& operator=(const ReadRing&) = delete;

    int error() const { return error_; }
    bool inherited_by_fork() const { return generation_ != fork_generation; }

    void read(std::span<ReadOp> ops) {
        for (size_t first = 0; first < ops.size(); first += ring_entries)
            read_wave(ops.subspan(first, std::min<size_t>(ring_entries, ops.size() - first)));
    }

  private:
    // All operations go in at once; what comes back short is finished by pread.
    void read_wave(std::span<ReadOp> ops) {
        for (ReadOp& op : ops) {
            io_uring_sqe* entry = io_uring_get_sqe(&ring_);
            io_uring_prep_read(entry, op.fd, op.buffer.data(), static_cast<unsigned>(op.buffer.size()), op.offset);
            io_uring_sqe_set_data(entry, &op);
        }
        size_t pending = ops.size();
        while (pending > 0) {
            int submitted = io_uring_submit_and_wait(&ring_, 1);
            if (submitted < 0 && submitted != -EINTR && submitted != -EAGAIN && submitted != -EBUSY)
                std::abort();  // the kernel rejects the ring itself: buffers in flight cannot be taken back
            io_uring_cqe* done;
            while (pending > 0 && io_uring_peek_cqe(&ring_, &done) == 0) {
                complete(*static_cast<ReadOp*>(io_uring_cqe_get_data(done)), done->res);
                io_uring_cqe_seen(&ring_, done);
                --pending;
            }
        }
    }

    static void complete(ReadOp& op, int result) {
        if (result == static_cast<int>(op.buffer.size())) {
            op.error = 0;
        } else if (result == -EINTR || result == -EAGAIN) {
            pread_fully(op);
        } else if (result < 0) {
            op.error = -result;
        } else {
            ReadOp rest{op.fd, op.offset + static_cast<uint64_t>(result),
                        op.buffer.subspan(static_cast<size_t>(result)), 0};
            pread_fully(rest);
            op.error = rest.error;
        }
    }

    io_uring ring_{};
    int generation_ = fork_generation;
    int error_ = 0;
};

class UringIo : public Io {
  public:
    void read(std::span<ReadOp> ops) override {
        ReadRing* ring = ops.size() > 1 && no_wait_depth == 0 ? ring_of_this_thread() : nullptr;
        if (ring != nullptr)
            ring->read(ops);
        else
            one_by_one_.read(ops);
    }
    std::string_view name() const override { return "io_uring"; }

  private:
    PreadIo one_by_one_;

    static ReadRing* ring_of_this_thread() {
        thread_local std::unique_ptr<ReadRing> ring;
        if (!ring || ring->inherited_by_fork()) ring = std::make_unique<ReadRing>();
        return ring->error() == 0 ? ring.get() : nullptr;
    }
};

}  // namespace

NoWait::NoWait() { ++no_wait_depth; }
NoWait::~NoWait() { --no_wait_depth; }
bool no_wait_asked() { return no_wait_depth > 0; }

std::unique_ptr<Io> make_pread_io() { return std::make_unique<PreadIo>(); }

std::unique_ptr<Io> make_uring_io(int& why) {
    static const int registered = pthread_atfork(nullptr, nullptr, [] { ++fork_generation; });
    why = registered;
    if (why == 0) why = ReadRing().error();
    if (why != 0) return nullptr;
    return std::make_unique<UringIo>();
}

std::unique_ptr<Io> make_system_io() {
    const char* wish = std::getenv("HYPER_IO");
    std::string wanted = wish != nullptr ? wish : "";
    if (wanted == "pread") {
        log_info("reading with pread, as HYPER_IO says");
        return make_pread_io();
    }
    if (!wanted.empty() && wanted != "io_uring")
        log_warning("HYPER_IO={}: unknown, ignored (try pread or io_uring)", wanted);
    int why = 0;
    if (auto io = make_uring_io(why)) {
        log_info("reading with io_uring");
        return io;
    }
    log_warning("reading with pread: io_uring is not available here: {}", errno_text(why));
    return make_pread_io();
}

}  // namespace hyper
