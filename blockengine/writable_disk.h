// SPDX-License-Identifier: Apache-2.0
// A disk that doors write to: a raw file (writable_file.h), or a volume's draft (volume/draft.h).
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>

#include "blockengine/base/result.h"
#include "blockengine/source.h"

namespace hyper {

// Thread-safe. Each call may wait for the disk, or for a commit of its volume, but for prepare_write() under NoWait.
//
// A write goes to fd(), at the disk's own offsets, by whoever has the bytes, between prepare_write() and written().
class WritableDisk {
  public:
    virtual ~WritableDisk() = default;

    // The same disk, to be read. What is read while it is written is from before or after the write, sector by sector.
    virtual std::shared_ptr<const Source> source() = 0;
    virtual uint64_t size_bytes() const = 0;
    virtual int fd() const = 0;

    // Ranges lie within the disk, here and below; length > 0. Each call that succeeds is followed by one of written(), soon.
    // Errors: EAGAIN under NoWait where it would have to wait; ENOSPC, EIO.
    virtual Result<void> prepare_write(uint64_t offset, uint64_t length) = 0;
    // The bytes are in the file; or, where `error` is not 0, any part of them is. `flags` are those of pwritev2(2) that
    // they were written with.
    virtual void written(uint64_t offset, uint64_t length, int flags, int error) = 0;
    // What a write to fd() needs to be durable on return: flags of pwritev2(2). 0 where only a flush() makes it so.
    virtual int durable_write_flags() const = 0;

    // The range reads as zeros afterwards. `keep_allocated`: no hole is made of it. `fast`: ENOTSUP rather than writing zeros.
    virtual Result<void> zero(uint64_t offset, uint64_t length, bool keep_allocated, bool fast) = 0;
    // The content of the range does not matter any more; where the file system cannot free it, nothing happens.
    virtual Result<void> trim(uint64_t offset, uint64_t length) = 0;
    // What was written before is on the disk, on return. The kernel tells a failure once, to one of those who ask; here, once
    // something may be lost, every flush fails until the disk is opened anew.
    virtual Result<void> flush() = 0;
};

// What the disk reads as, which holds the disk: whoever reads it has it, too.
std::shared_ptr<const Source> source_of(const std::shared_ptr<WritableDisk>& disk);

// Writes all of `pieces`, which are changed by that; `durable`: it is on the disk on return. Errors: as for prepare_write().
Result<void> write(WritableDisk& disk, uint64_t offset, std::span<iovec> pieces, bool durable);
Result<void> write(WritableDisk& disk, uint64_t offset, std::span<const std::byte> bytes, bool durable);

}  // namespace hyper
