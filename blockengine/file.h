// SPDX-License-Identifier: Apache-2.0
// A file or block device that is held open for reading: a local one, or one that is far away.
#pragma once

#include <cstdint>
#include <ctime>
#include <memory>
#include <span>
#include <string>

#include "blockengine/base/result.h"
#include "blockengine/io.h"

namespace hyper {

class FarReader;

// Thread-safe; immutable after open. The file must not change while it is held; where it shrinks all the
// same, reads end in EIO.
class File {
  public:
    // Errors: what open(2) gives; EINVAL for what is neither a file nor a block device.
    static Result<std::shared_ptr<const File>> open(const std::string& path, Io& io);
    // Takes over `fd` (which is closed on error too); `path` is for messages and for identity.
    static Result<std::shared_ptr<const File>> adopt(int fd, const std::string& path, Io& io);
    // An anonymous file in memory with these bytes, for tests and for what is unpacked.
    static Result<std::shared_ptr<const File>> from_bytes(std::span<const std::byte> bytes, const std::string& name,
                                                          Io& io);
    // One that is read by way of `reader`; its path is the remote's name, and it has no descriptor.
    static std::shared_ptr<const File> far(std::unique_ptr<FarReader> reader, Io& io);
    ~File();
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    // Fills the whole buffer. Errors: EIO with path and offset, also for a read past the end; EAGAIN under NoWait.
    Result<void> read(uint64_t offset, std::span<std::byte> buffer) const;

    // The first run of data at or after `offset`, clipped to `end`: [start, stop), as the file system's extent map
    // tells, or SEEK_DATA where it has none. start == stop == end where only a hole is left. What touches `stop` may be
    // data too. All data where the file system cannot tell, and where the file has shrunk, so that a reader meets the error.
    // May wait for a far file, in bounded time.
    struct Run {
        uint64_t start, stop;
    };
    Run next_data(uint64_t offset, uint64_t end) const;

    uint64_t size_bytes() const { return size_bytes_; }
    const std::string& path() const { return path_; }
    // -1 for a far file.
    int fd() const { return fd_; }
    // nullptr for a local file.
    FarReader* far_reader() const { return far_.get(); }
    Io& io() const { return io_; }
    // Unique in this process, never used again: a key for caches.
    uint64_t id() const { return id_; }
    // Which file this is, whatever name it was opened by: to find loops in chains. A far file is known by no second name.
    uint64_t device() const { return device_; }
    uint64_t inode() const { return inode_; }
    // 0 for a far file.
    timespec modified() const { return modified_; }

  private:
    File(int fd, std::string path, Io& io);

    Io& io_;
    std::string path_;
    int fd_;
    std::unique_ptr<FarReader> far_;
    uint64_t id_;
    uint64_t size_bytes_ = 0;
    uint64_t device_ = 0, inode_ = 0;
    timespec modified_{};
};

}  // namespace hyper
