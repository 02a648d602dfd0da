// SPDX-License-Identifier: Apache-2.0
// The FUSE side of a mount: answers the kernel's requests from a tree, a shelf and the engine.
// libfuse is included in fusefs/ alone.
#pragma once

#define FUSE_USE_VERSION 312

#include <fuse3/fuse_lowlevel.h>

#include <memory>
#include <mutex>
#include <unordered_set>

#include "fusefs/neighbours.h"
#include "fusefs/shelf.h"
#include "fusefs/tree.h"

namespace hyper {

// Thread-safe; outlives the session.
class Filesystem {
  public:
    // A file that is open in the kernel.
    struct Handle {
        std::shared_ptr<const OpenFile> file;
        std::string path;
    };

    // `catalog` must outlive it, and so must `writable`, which is nullptr for a mount that is only read.
    Filesystem(Catalog& catalog, WritableDisks* writable);
    // Closes what is still open.
    ~Filesystem();
    Filesystem(const Filesystem&) = delete;
    Filesystem& operator=(const Filesystem&) = delete;

    // For fuse_session_new(), with `this` as its userdata.
    static const fuse_lowlevel_ops& operations();
    // Who is told of small reads from now on; called before the session's loop.
    void set_neighbours(Neighbours& neighbours) { neighbours_ = &neighbours; }

    void lookup(fuse_req_t request, fuse_ino_t folder, const char* name);
    void getattr(fuse_req_t request, fuse_ino_t inode);
    void opendir(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info);
    void open(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info);
    void setattr(fuse_req_t request, fuse_ino_t inode, const struct stat& wanted, int which);
    void release(fuse_req_t request, Handle* opened);
    void read(fuse_req_t request, fuse_ino_t inode, const fuse_file_info& info, uint64_t offset,
              size_t count);
    void lseek(fuse_req_t request, const OpenFile& file, uint64_t offset, int whence);
    // `durable`: it is on the disk when it is answered.
    void write(fuse_req_t request, const Handle& opened, uint64_t offset, std::span<const std::byte> bytes, bool durable);
    void fsync(fuse_req_t request, const Handle& opened);
    // `mode` as for fallocate(2).
    void fallocate(fuse_req_t request, const Handle& opened, int mode, uint64_t offset, uint64_t length);

  private:
    Result<struct stat> attributes(const Node& node);
    void close(Handle* opened);

    Engine& engine_;
    Tree tree_;
    Shelf shelf_;
    Neighbours* neighbours_ = nullptr;
    std::mutex mutex_;
    std::unordered_set<Handle*> opened_;  // guarded by mutex_; all that the kernel has
    uid_t owner_;
    gid_t group_;
    timespec mounted_at_;
};

}  // namespace hyper
