// SPDX-License-Identifier: Apache-2.0
// A local file or block device that is held open for writing in place: a raw disk.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "blockengine/base/result.h"
#include "blockengine/file.h"

namespace hyper {

// Thread-safe. One process at a time holds a file so (an exclusive flock). Its size stays what it was when opened.
// Each call waits for the disk; writing itself is done by whoever has the descriptor.
class WritableFile {
  public:
    // Errors: what open(2) gives; EBUSY where another process writes the file; EINVAL for what is neither a file
    // nor a block device.
    static Result<std::shared_ptr<const WritableFile>> open(const std::string& path, Io& io);

    // The same file with the size that it has now, under the same lock.
    Result<std::shared_ptr<const WritableFile>> with_present_size() const;
    // What another process opened so, and handed over: the lock belongs to the descriptor, and both share it. Takes over
    // `fd` (which is closed on error too). Errors: as for open().
    static Result<std::shared_ptr<const WritableFile>> adopt(int fd, const std::string& path, Io& io);

    // The same file, to be read.
    const std::shared_ptr<const File>& file() const { return file_; }
    int fd() const { return file_->fd(); }

    // The range reads as zeros afterwards. `keep_allocated`: no hole is made of it. `fast`: ENOTSUP rather than writing zeros.
    Result<void> zero(uint64_t offset, uint64_t length, bool keep_allocated, bool fast) const;
    // The content of the range does not matter any more; where the file system cannot free it, nothing happens.
    Result<void> trim(uint64_t offset, uint64_t length) const;
    // What was written before is on the disk, on return. The kernel tells a failure once, to one of those who ask; here, once
    // something may be lost, every flush fails until the file is opened anew.
    Result<void> flush() const;
    // A write that was to be durable has failed. The kernel may have told of earlier ones by that, unless it only refused
    // the write for want of room.
    void durable_write_failed(int error) const;
    // Whether what was written may be lost.
    bool lost() const { return *lost_ != 0; }

  private:
    explicit WritableFile(std::shared_ptr<const File> file) : file_(std::move(file)) {}
    Result<void> write_zeros(uint64_t offset, uint64_t length) const;

    std::shared_ptr<const File> file_;
    std::shared_ptr<std::atomic<int>> lost_ = std::make_shared<std::atomic<int>>(0);  // an errno
};

}  // namespace hyper
