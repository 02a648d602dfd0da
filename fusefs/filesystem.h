// SPDX-License-Identifier: Apache-2.0
// The FUSE side of a mount: answers the kernel's requests from a tree, a shelf and the engine.
// libfuse is included in fusefs/ alone.
#pragma once

#define FUSE_USE_VERSION 312

#include <fuse3/fuse_lowlevel.h>

#include "fusefs/neighbours.h"
#include "fusefs/shelf.h"
#include "fusefs/tree.h"

namespace hyper {

// Thread-safe; outlives the session.
class Filesystem {
  public:
    // `catalog` must outlive it.
    explicit Filesystem(Catalog& catalog);

    // For fuse_session_new(), with `this` as its userdata.
    static const fuse_lowlevel_ops& operations();
    // Who is told of small reads from now on; called before the session's loop.
    void set_neighbours(Neighbours& neighbours) { neighbours_ = &neighbours; }

    void lookup(fuse_req_t request, fuse_ino_t folder, const char* name);
    void getattr(fuse_req_t request, fuse_ino_t inode);
    void opendir(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info);
    void open(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info);
    void read(fuse_req_t request, fuse_ino_t inode, const fuse_file_info& info, uint64_t offset,
              size_t count);
    void lseek(fuse_req_t request, const OpenFile& file, uint64_t offset, int whence);

  private:
    Result<struct stat> attributes(const Node& node);

    Engine& engine_;
    Tree tree_;
    Shelf shelf_;
    Neighbours* neighbours_ = nullptr;
    uid_t owner_;
    gid_t group_;
    timespec mounted_at_;
};

}  // namespace hyper
