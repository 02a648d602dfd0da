// SPDX-License-Identifier: Apache-2.0
// The seam between the engine and the operating system: every read of every file passes through here, and every write
// of a volume, which is where tests inject faults (LD_PRELOAD tools do not see io_uring).
#pragma once

#include <cerrno>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace hyper {

// One read. Afterwards `error` is 0 and the whole buffer is filled, or it is an errno and the buffer's
// content is undefined. A file that ends early is EIO: what is served does not shrink.
struct ReadOp {
    int fd = -1;
    uint64_t offset = 0;
    std::span<std::byte> buffer;
    int error = 0;
};

// One write. Afterwards `error` is 0 and the whole buffer is written (not yet durable), or it is an errno (ENOSPC and so
// on) and any part of the buffer may have been written.
struct WriteOp {
    int fd = -1;
    uint64_t offset = 0;
    std::span<const std::byte> buffer;
    int error = 0;
};

// Thread-safe. A call blocks until each of its operations has ended; bytes in flight are what the
// callers ask for at once, which the engine bounds (see engine.h).
class Io {
  public:
    virtual ~Io() = default;
    virtual void read(std::span<ReadOp> ops) = 0;
    // In no order that can be relied on; one that fails does not stop the others. Waits, also under NoWait.
    virtual void write(std::span<WriteOp> ops) = 0;
    // fdatasync(2), for a folder fsync(2), since its names are no data: 0, and what was written before is durable, or
    // an errno, and any part of it may be lost: the kernel tells of that once, so nothing of it is durable when the next
    // call answers 0.
    virtual int sync(int fd) = 0;
    virtual std::string_view name() const = 0;
};

// While one lives, reads of its thread do not wait for a disk: what is not in memory ends with EAGAIN, in
// ReadOp::error and as the code of the Error that comes of it. For event loops, which then ask a thread that may wait.
class NoWait {
  public:
    NoWait();
    ~NoWait();
    NoWait(const NoWait&) = delete;
    NoWait& operator=(const NoWait&) = delete;
};
// Whether one lives in this thread: for what reads by other means than Io.
bool no_wait_asked();

// EAGAIN stays what it is, so that a loop learns it; for a reader everything else that fails is EIO.
inline int read_error_code(int error) { return error == EAGAIN ? EAGAIN : EIO; }

// pread(2) and pwrite(2), one after the other.
std::unique_ptr<Io> make_pread_io();

// io_uring, one ring a thread; a lone operation uses pread or pwrite, which cost less where the page cache has it.
// nullptr where the kernel or a sandbox forbids io_uring; the reason is an errno in `why`.
std::unique_ptr<Io> make_uring_io(int& why);

// io_uring, or pread where that is forbidden; which one, and why, goes to the log.
// The environment variable HYPER_IO=pread|io_uring decides instead where it is set.
std::unique_ptr<Io> make_system_io();

}  // namespace hyper
