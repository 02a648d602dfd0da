// SPDX-License-Identifier: Apache-2.0
// A local file or block device that is held open for writing in place: a raw disk.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "blockengine/base/result.h"
#include "blockengine/file.h"
#include "blockengine/writable_disk.h"

namespace hyper {

// Thread-safe. One process at a time holds a file so (an exclusive flock). Its size stays what it was when opened.
// Each call waits for the disk; writing itself is done by whoever has the descriptor.
class WritableFile : public WritableDisk {
  public:
    // Errors: what open(2) gives; EBUSY where another process writes the file; EINVAL for what is neither a file
    // nor a block device.
    static Result<std::shared_ptr<WritableFile>> open(const std::string& path, Io& io);

    // The same file with the size that it has now, under the same lock.
    Result<std::shared_ptr<WritableFile>> with_present_size() const;
    // What another process opened so, and handed over: the lock belongs to the descriptor, and both share it. Takes over
    // `fd` (which is closed on error too). Errors: as for open().
    static Result<std::shared_ptr<WritableFile>> adopt(int fd, const std::string& path, Io& io);

    // The same file, to be read.
    const std::shared_ptr<const File>& file() const { return file_; }

    std::shared_ptr<const Source> source() override { return std::make_shared<FileSource>(file_); }
    uint64_t size_bytes() const override { return file_->size_bytes(); }
    int fd() const override { return file_->fd(); }
    Result<void> prepare_write(uint64_t, uint64_t) override { return {}; }
    // A write that was to be durable and failed: the kernel may have told of earlier ones by that, unless it only refused the write
    // for want of room.
    void written(uint64_t offset, uint64_t length, int flags, int error) override;
    int durable_write_flags() const override { return RWF_DSYNC; }
    Result<void> zero(uint64_t offset, uint64_t length, bool keep_allocated, bool fast) override;
    Result<void> trim(uint64_t offset, uint64_t length) override;
    Result<void> flush() override;
    // Whether what was written may be lost.
    bool lost() const { return *lost_ != 0; }

  private:
    explicit WritableFile(std::shared_ptr<const File> file) : file_(std::move(file)) {}
    Result<void> write_zeros(uint64_t offset, uint64_t length);

    std::shared_ptr<const File> file_;
    std::shared_ptr<std::atomic<int>> lost_ = std::make_shared<std::atomic<int>>(0);  // an errno
};

}  // namespace hyper
