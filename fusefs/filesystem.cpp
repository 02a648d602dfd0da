// SPDX-License-Identifier: Apache-2.0
// Design note. Content does not change while it is held, so the kernel's page cache is kept from
// one open to the next as long as the shelf still holds the same file; a file that was let go and
// opened anew starts an empty cache. Attributes and names may change (an image is replaced, a
// directory gains one) and are kept for seconds only. Reads are copied from the engine's buffer
// rather than spliced: a spliced read of a file that shrank would reach the reader as a short file
// instead of an error.
#include "fusefs/filesystem.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <new>

#include "blockengine/base/bytes.h"
#include "blockengine/base/log.h"

namespace hyper {

namespace {

constexpr double name_seconds = 10, missing_name_seconds = 1, attribute_seconds = 10;
constexpr size_t read_bytes_max = 1 << 20;  // the most that the kernel asks for at once
constexpr size_t buffer_alignment = 4096;
// How far one look for a hole or for data reaches at a time.
constexpr uint64_t seek_step_bytes = GiB;

Filesystem& filesystem(fuse_req_t request) {
    return *static_cast<Filesystem*>(fuse_req_userdata(request));
}

// What a program is told; the reason goes to the log, once, here.
int fuse_errno(const Node& node, const Error& error) {
    if (error.code == ENOENT) return ENOENT;
    log_error("{}: {}", node.path, error.message);
    return error.code == EFBIG || error.code == ENOMEM ? error.code : EIO;
}

// A file that is open in the kernel.
struct Handle {
    std::shared_ptr<const OpenFile> file;
    std::string path;
};
Handle& handle(const fuse_file_info& info) {
    return *reinterpret_cast<Handle*>(info.fh);
}

using Entries = std::vector<Tree::Entry>;
Entries& entries(const fuse_file_info& info) {
    return *reinterpret_cast<Entries*>(info.fh);
}

// One a thread, as large as any request.
std::span<std::byte> read_buffer() {
    struct Free {
        void operator()(std::byte* memory) const { std::free(memory); }
    };
    thread_local std::unique_ptr<std::byte, Free> buffer(
        static_cast<std::byte*>(std::aligned_alloc(buffer_alignment, read_bytes_max)));
    return {buffer.get(), buffer ? read_bytes_max : 0};
}

void list_folder(fuse_req_t request, const Entries& all, size_t count, size_t first) {
    std::vector<char> reply(count);
    size_t used = 0;
    for (size_t i = first; i < all.size(); ++i) {
        struct stat status {};
        status.st_ino = all[i].inode;
        status.st_mode = all[i].folder ? S_IFDIR : S_IFREG;
        size_t needed = fuse_add_direntry(request, reply.data() + used, count - used,
                                          all[i].name.c_str(), &status, static_cast<off_t>(i + 1));
        if (needed > count - used) break;
        used += needed;
    }
    fuse_reply_buf(request, reply.data(), used);
}

void on_init(void*, fuse_conn_info* connection) {
    connection->max_write = read_bytes_max;  // libfuse derives the largest read from it too
    connection->max_readahead = read_bytes_max;
}

fuse_lowlevel_ops make_operations() {
    fuse_lowlevel_ops ops{};
    ops.init = on_init;
    ops.lookup = [](fuse_req_t request, fuse_ino_t folder, const char* name) {
        filesystem(request).lookup(request, folder, name);
    };
    ops.getattr = [](fuse_req_t request, fuse_ino_t inode, fuse_file_info*) {
        filesystem(request).getattr(request, inode);
    };
    ops.opendir = [](fuse_req_t request, fuse_ino_t inode, fuse_file_info* info) {
        filesystem(request).opendir(request, inode, info);
    };
    ops.readdir = [](fuse_req_t request, fuse_ino_t, size_t count, off_t first,
                     fuse_file_info* info) {
        list_folder(request, entries(*info), count, static_cast<size_t>(first));
    };
    ops.releasedir = [](fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
        delete &entries(*info);
        fuse_reply_err(request, 0);
    };
    ops.open = [](fuse_req_t request, fuse_ino_t inode, fuse_file_info* info) {
        filesystem(request).open(request, inode, info);
    };
    ops.read = [](fuse_req_t request, fuse_ino_t inode, size_t count, off_t offset,
                  fuse_file_info* info) {
        filesystem(request).read(request, inode, *info, static_cast<uint64_t>(offset), count);
    };
    ops.release = [](fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
        delete &handle(*info);
        fuse_reply_err(request, 0);
    };
    ops.lseek = [](fuse_req_t request, fuse_ino_t, off_t offset, int whence, fuse_file_info* info) {
        filesystem(request).lseek(request, *handle(*info).file, static_cast<uint64_t>(offset),
                                  whence);
    };
    return ops;
}

}  // namespace

const fuse_lowlevel_ops& Filesystem::operations() {
    static const fuse_lowlevel_ops ops = make_operations();
    return ops;
}

Filesystem::Filesystem(Catalog& catalog)
    : engine_(catalog.engine()),
      tree_(catalog),
      shelf_(catalog),
      owner_(getuid()),
      group_(getgid()) {
    clock_gettime(CLOCK_REALTIME, &mounted_at_);
}

Result<struct stat> Filesystem::attributes(const Node& node) {
    struct stat status {};
    status.st_ino = node.inode;
    status.st_uid = owner_;
    status.st_gid = group_;
    status.st_atim = status.st_mtim = status.st_ctim = mounted_at_;
    if (node.folder()) {
        status.st_mode = S_IFDIR | 0555;
        status.st_nlink = 2;
        return status;
    }
    std::shared_ptr<const OpenFile> file = TRY(shelf_.open(node.export_name));
    status.st_mode = S_IFREG | 0444;
    status.st_nlink = 1;
    status.st_size = static_cast<off_t>(file->source->size_bytes());
    status.st_blocks = static_cast<blkcnt_t>(divide_up(file->allocated_bytes, sector_bytes));
    status.st_blksize = read_bytes_max;
    return status;
}

void Filesystem::lookup(fuse_req_t request, fuse_ino_t folder, const char* name) {
    fuse_entry_param entry{};
    entry.entry_timeout = missing_name_seconds;
    Node* parent = tree_.find(folder);
    std::optional<Tree::Name> found = parent != nullptr ? tree_.lookup(*parent, name) : std::nullopt;
    int error = ENOENT;
    if (found) {
        // Anybody may ask for any name, so a node is made for what opens only.
        Node candidate(0, found->path, found->export_name);
        if (auto status = attributes(candidate)) {
            entry.ino = status->st_ino = tree_.node(*found).inode;
            entry.attr = *status;
            entry.entry_timeout = name_seconds;
            entry.attr_timeout = attribute_seconds;
            error = 0;
        } else {
            error = fuse_errno(candidate, status.error());
        }
    }
    // An entry without an inode is a name that is missing, and the kernel remembers that too.
    if (error == 0 || error == ENOENT)
        fuse_reply_entry(request, &entry);
    else
        fuse_reply_err(request, error);
}

void Filesystem::getattr(fuse_req_t request, fuse_ino_t inode) {
    Node* node = tree_.find(inode);
    if (node == nullptr) {
        fuse_reply_err(request, ENOENT);
    } else if (auto status = attributes(*node)) {
        fuse_reply_attr(request, &*status, attribute_seconds);
    } else {
        fuse_reply_err(request, fuse_errno(*node, status.error()));
    }
}

void Filesystem::opendir(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info) {
    Node* node = tree_.find(inode);
    if (node == nullptr) {
        fuse_reply_err(request, ENOENT);
        return;
    }
    auto* listed = new Entries(tree_.list(*node));
    info->fh = reinterpret_cast<uint64_t>(listed);
    if (fuse_reply_open(request, info) != 0) delete listed;
}

void Filesystem::open(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info) {
    Node* node = tree_.find(inode);
    if (node == nullptr || node->folder()) {
        fuse_reply_err(request, node == nullptr ? ENOENT : EISDIR);
        return;
    }
    auto file = shelf_.open(node->export_name);
    if (!file) {
        fuse_reply_err(request, fuse_errno(*node, file.error()));
        return;
    }
    info->keep_cache = node->cached_serial.exchange((*file)->serial) == (*file)->serial;
    info->noflush = 1;
    auto* opened = new Handle{std::move(*file), node->path};
    info->fh = reinterpret_cast<uint64_t>(opened);
    if (fuse_reply_open(request, info) != 0) delete opened;
}

void Filesystem::read(fuse_req_t request, fuse_ino_t inode, const fuse_file_info& info,
                      uint64_t offset, size_t count) {
    // Once it is answered the file may be closed.
    std::shared_ptr<const OpenFile> file = handle(info).file;
    uint64_t size = file->source->size_bytes();
    std::span<std::byte> buffer = read_buffer();
    if (count > buffer.size()) {
        fuse_reply_err(request, buffer.empty() ? ENOMEM : EIO);
        return;
    }
    buffer = buffer.first(offset < size ? std::min<uint64_t>(count, size - offset) : 0);
    // Who reads past the kernel's cache has no use for what is put there.
    bool small = neighbours_ != nullptr && !buffer.empty() &&
                 buffer.size() <= Neighbours::small_read_bytes_max && (info.flags & O_DIRECT) == 0;
    Result<void> done;
    if (small) {
        NoWait no_wait;
        done = engine_.read(*file->source, offset, buffer);
    }
    // What had to come from a disk stays alone: its neighbours would too.
    bool in_memory = small && done;
    if (!in_memory) done = engine_.read(*file->source, offset, buffer);
    if (!done) {
        log_error("{}", done.error().message);
        fuse_reply_err(request, EIO);
        return;
    }
    fuse_reply_buf(request, reinterpret_cast<const char*>(buffer.data()), buffer.size());
    if (in_memory) neighbours_->want(inode, file, offset);
}

void Filesystem::lseek(fuse_req_t request, const OpenFile& file, uint64_t offset, int whence) {
    uint64_t size = file.source->size_bytes();
    if (whence != SEEK_DATA && whence != SEEK_HOLE) {
        fuse_reply_err(request, EINVAL);
        return;
    }
    bool found = false;
    for (uint64_t at = offset; at < size && !found; at += std::min(seek_step_bytes, size - at)) {
        auto done = visit_extents(*file.source, at, std::min(seek_step_bytes, size - at),
                                  [&](const Extent& extent) {
                                      found = extent.zero == (whence == SEEK_HOLE);
                                      if (found) offset = extent.offset;
                                      return !found;
                                  });
        if (!done) {
            log_error("{}", done.error().message);
            fuse_reply_err(request, EIO);
            return;
        }
    }
    // The end of a file counts as a hole.
    if (found)
        fuse_reply_lseek(request, static_cast<off_t>(offset));
    else if (whence == SEEK_HOLE && offset < size)
        fuse_reply_lseek(request, static_cast<off_t>(size));
    else
        fuse_reply_err(request, ENXIO);
}

}  // namespace hyper
