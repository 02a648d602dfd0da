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
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <string>
#include <vector>

#include "blockengine/base/log.h"
#include "blockengine/base/result.h"

namespace hyper {

namespace {

ssize_t move_some(const ReadOp& op) {
    return ::pread(op.fd, op.buffer.data(), op.buffer.size(), static_cast<off_t>(op.offset));
}
ssize_t move_some(const WriteOp& op) {
    return ::pwrite(op.fd, op.buffer.data(), op.buffer.size(), static_cast<off_t>(op.offset));
}

template <class Op>
Op rest_of(const Op& op, size_t done_bytes) {
    return {op.fd, op.offset + done_bytes, op.buffer.subspan(done_bytes), 0};
}

// By pread(2) or pwrite(2), as often as it takes.
template <class Op>
void move_fully(Op& op) {
    op.error = 0;
    for (Op rest = op; !rest.buffer.empty();) {
        ssize_t moved = move_some(rest);
        if (moved < 0 && errno == EINTR) continue;
        if (moved <= 0) {
            op.error = moved < 0 ? errno : EIO;
            return;
        }
        rest = rest_of(rest, static_cast<size_t>(moved));
    }
}

// Several writes that lie one after the other in one file, by one call: a file is written by one at a time anyway, so in a ring they would
// only wait for each other. False where they do not lie so, or did not all go well: then they are to be done one by one.
bool written_as_one(std::span<WriteOp> ops) {
    if (ops.size() < 2 || ops.size() > IOV_MAX) return false;
    std::vector<iovec> pieces;
    pieces.reserve(ops.size());
    uint64_t end = ops[0].offset;
    for (const WriteOp& op : ops) {
        if (op.fd != ops[0].fd || op.offset != end) return false;
        end += op.buffer.size();
        pieces.push_back({const_cast<std::byte*>(op.buffer.data()), op.buffer.size()});
    }
    ssize_t moved = ::pwritev(ops[0].fd, pieces.data(), static_cast<int>(pieces.size()), static_cast<off_t>(ops[0].offset));
    if (moved != static_cast<ssize_t>(end - ops[0].offset)) return false;
    for (WriteOp& op : ops) op.error = 0;
    return true;
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
        for (ReadOp& op : ops) no_wait_depth > 0 ? read_cached(op) : move_fully(op);
    }
    void write(std::span<WriteOp> ops) override {
        if (written_as_one(ops)) return;
        for (WriteOp& op : ops) move_fully(op);
    }
    int sync(int fd) override {
        struct stat status;
        bool folder = ::fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
        int result;
        do {
            result = folder ? ::fsync(fd) : ::fdatasync(fd);
        } while (result != 0 && errno == EINTR);
        return result == 0 ? 0 : errno;
    }
    std::string_view name() const override { return "pread"; }
};

constexpr unsigned ring_entries = 64;

std::atomic<int> fork_generation{0};

// A ring and the thread that owns it. Bound to one thread.
class BatchRing {
  public:
    BatchRing() { error_ = -io_uring_queue_init(ring_entries, &ring_, 0); }
    ~BatchRing() {
        if (error_ == 0 && generation_ == fork_generation) io_uring_queue_exit(&ring_);
    }
    BatchRing(const BatchRing&) = delete;
    BatchRing& operator=(const BatchRing&) = delete;

    int error() const { return error_; }
    bool inherited_by_fork() const { return generation_ != fork_generation; }

    // ReadOps or WriteOps.
    template <class Op>
    void move(std::span<Op> ops) {
        for (size_t first = 0; first < ops.size(); first += ring_entries)
            move_wave(ops.subspan(first, std::min<size_t>(ring_entries, ops.size() - first)));
    }

  private:
    static void prepare(io_uring_sqe* entry, const ReadOp& op) {
        io_uring_prep_read(entry, op.fd, op.buffer.data(), static_cast<unsigned>(op.buffer.size()), op.offset);
    }
    static void prepare(io_uring_sqe* entry, const WriteOp& op) {
        io_uring_prep_write(entry, op.fd, op.buffer.data(), static_cast<unsigned>(op.buffer.size()), op.offset);
    }

    // All operations go in at once; what comes back short is finished by pread or pwrite.
    template <class Op>
    void move_wave(std::span<Op> ops) {
        for (Op& op : ops) {
            io_uring_sqe* entry = io_uring_get_sqe(&ring_);
            prepare(entry, op);
            io_uring_sqe_set_data(entry, &op);
        }
        size_t pending = ops.size();
        while (pending > 0) {
            int submitted = io_uring_submit_and_wait(&ring_, 1);
            if (submitted < 0 && submitted != -EINTR && submitted != -EAGAIN && submitted != -EBUSY)
                std::abort();  // the kernel rejects the ring itself: buffers in flight cannot be taken back
            io_uring_cqe* done;
            while (pending > 0 && io_uring_peek_cqe(&ring_, &done) == 0) {
                complete(*static_cast<Op*>(io_uring_cqe_get_data(done)), done->res);
                io_uring_cqe_seen(&ring_, done);
                --pending;
            }
        }
    }

    template <class Op>
    static void complete(Op& op, int result) {
        if (result == static_cast<int>(op.buffer.size())) {
            op.error = 0;
        } else if (result == -EINTR || result == -EAGAIN) {
            move_fully(op);
        } else if (result < 0) {
            op.error = -result;
        } else {
            Op rest = rest_of(op, static_cast<size_t>(result));
            move_fully(rest);
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
        BatchRing* ring = ops.size() > 1 && no_wait_depth == 0 ? ring_of_this_thread() : nullptr;
        if (ring != nullptr)
            ring->move(ops);
        else
            one_by_one_.read(ops);
    }
    void write(std::span<WriteOp> ops) override {
        if (written_as_one(ops)) return;
        BatchRing* ring = ops.size() > 1 ? ring_of_this_thread() : nullptr;
        if (ring != nullptr)
            ring->move(ops);
        else
            one_by_one_.write(ops);
    }
    int sync(int fd) override { return one_by_one_.sync(fd); }
    std::string_view name() const override { return "io_uring"; }

  private:
    PreadIo one_by_one_;

    static BatchRing* ring_of_this_thread() {
        thread_local std::unique_ptr<BatchRing> ring;
        if (!ring || ring->inherited_by_fork()) ring = std::make_unique<BatchRing>();
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
    if (why == 0) why = BatchRing().error();
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
