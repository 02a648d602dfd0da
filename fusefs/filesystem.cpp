// SPDX-License-Identifier: Apache-2.0
// Design note. Content does not change while it is held, so the kernel's page cache is kept from
// one open to the next as long as the shelf still holds the same file; a file that was let go and
// opened anew starts an empty cache. Attributes and names may change (an image is replaced, a
// directory gains one) and are kept for seconds only. Reads are copied from the engine's buffer
// rather than spliced: a spliced read of a file that shrank would reach the reader as a short file
// instead of an error.
//
// A file that can be written is the disk that is written, for those who read it, too. The kernel sends each write when it is made
// (its cache is written through), so what it has cached is what is here, as long as nobody else puts anything there: such a file has
// no neighbours. Its size stays.
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
#include <span>

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
    bool told = error.code == EFBIG || error.code == ENOMEM || error.code == EBUSY || error.code == EACCES || error.code == EROFS;
    return told ? error.code : EIO;
}

// The same for a change.
int change_errno(const Filesystem::Handle& opened, const Error& error) {
    log_error("{}: {}", opened.path, error.message);
    return error.code == ENOSPC || error.code == EDQUOT ? error.code : EIO;
}

// What can be written may be another disk, of another size, as soon as it is opened.
double attribute_seconds_of(const struct stat& status) {
    return (status.st_mode & S_IWUSR) != 0 ? 0 : attribute_seconds;
}

Filesystem::Handle& handle(const fuse_file_info& info) {
    return *reinterpret_cast<Filesystem::Handle*>(info.fh);
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
    // Who truncates a file when opening it is to hear that it keeps its size, which setattr() says.
    connection->want &= ~static_cast<unsigned>(FUSE_CAP_ATOMIC_O_TRUNC);
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
        filesystem(request).release(request, &handle(*info));
    };
    ops.setattr = [](fuse_req_t request, fuse_ino_t inode, struct stat* wanted, int which, fuse_file_info*) {
        filesystem(request).setattr(request, inode, *wanted, which);
    };
    ops.write = [](fuse_req_t request, fuse_ino_t, const char* bytes, size_t count, off_t offset, fuse_file_info* info) {
        filesystem(request).write(request, handle(*info), static_cast<uint64_t>(offset), std::as_bytes(std::span(bytes, count)),
                                  (info->flags & O_DSYNC) != 0);
    };
    ops.fsync = [](fuse_req_t request, fuse_ino_t, int, fuse_file_info* info) {
        filesystem(request).fsync(request, handle(*info));
    };
    ops.fallocate = [](fuse_req_t request, fuse_ino_t, int mode, off_t offset, off_t length, fuse_file_info* info) {
        filesystem(request).fallocate(request, handle(*info), mode, static_cast<uint64_t>(offset), static_cast<uint64_t>(length));
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

Filesystem::Filesystem(Catalog& catalog, WritableDisks* writable)
    : engine_(catalog.engine()),
      tree_(catalog, writable),
      shelf_(catalog, writable),
      owner_(getuid()),
      group_(getgid()) {
    clock_gettime(CLOCK_REALTIME, &mounted_at_);
}

Filesystem::~Filesystem() {
    for (Handle* opened : opened_) delete opened;
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
    // A look is none that opens a draft, but for a lazy volume, of which there is nothing else yet.
    bool writes = TRY(shelf_.writes(node.export_name));
    std::shared_ptr<const OpenFile> file = writes ? shelf_.held_for_writing(node.export_name) : nullptr;
    if (!file) {
        auto opened = shelf_.open(node.export_name);
        if (!opened && writes) opened = shelf_.open_for_writing(node.export_name);
        file = TRY(std::move(opened));
    }
    status.st_mode = S_IFREG | (writes ? 0644 : 0444);
    status.st_nlink = 1;
    status.st_size = static_cast<off_t>(file->source->size_bytes());
    status.st_blocks = static_cast<blkcnt_t>(divide_up(file->allocated_bytes, sector_bytes));
    // A file without a block counts as one without data, whatever is written to it later.
    if (writes) status.st_blocks = std::max<blkcnt_t>(status.st_blocks, 1);
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
            entry.attr_timeout = attribute_seconds_of(*status);
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
        fuse_reply_attr(request, &*status, attribute_seconds_of(*status));
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
    const bool reads_only = (info->flags & O_ACCMODE) == O_RDONLY;
    auto writes = shelf_.writes(node->export_name);
    if (!writes || (!*writes && !reads_only)) {
        fuse_reply_err(request, writes ? EACCES : fuse_errno(*node, writes.error()));
        return;
    }
    auto file = *writes ? shelf_.open_for_writing(node->export_name) : shelf_.open(node->export_name);
    // A file that we may not write, nobody writes here.
    if (!file && reads_only && (file.error().code == EACCES || file.error().code == EROFS)) file = shelf_.open(node->export_name);
    if (!file) {
        fuse_reply_err(request, fuse_errno(*node, file.error()));
        return;
    }
    info->keep_cache = node->cached_serial.exchange((*file)->serial) == (*file)->serial;
    info->noflush = 1;
    auto* opened = new Handle{std::move(*file), node->path};
    info->fh = reinterpret_cast<uint64_t>(opened);
    {
        std::lock_guard lock(mutex_);
        opened_.insert(opened);
    }
    if (fuse_reply_open(request, info) != 0) close(opened);
}

// The last user of a draft may wait for it to be closed.
void Filesystem::close(Handle* opened) {
    {
        std::lock_guard lock(mutex_);
        opened_.erase(opened);
    }
    delete opened;
}

void Filesystem::release(fuse_req_t request, Handle* opened) {
    close(opened);
    fuse_reply_err(request, 0);
}

// Times are taken and not kept.
void Filesystem::setattr(fuse_req_t request, fuse_ino_t inode, const struct stat& wanted, int which) {
    Node* node = tree_.find(inode);
    auto status = node != nullptr ? attributes(*node) : fail(ENOENT, "no such file");
    bool resizes = status && (which & FUSE_SET_ATTR_SIZE) != 0 && wanted.st_size != status->st_size;
    if (!status)
        fuse_reply_err(request, node != nullptr ? fuse_errno(*node, status.error()) : ENOENT);
    else if (resizes || (which & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) != 0)
        fuse_reply_err(request, EPERM);
    else
        fuse_reply_attr(request, &*status, attribute_seconds_of(*status));
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
    bool small = neighbours_ != nullptr && !file->writable && !buffer.empty() &&
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

void Filesystem::write(fuse_req_t request, const Handle& opened, uint64_t offset, std::span<const std::byte> bytes, bool durable) {
    WritableDisk* disk = opened.file->writable.get();
    if (disk == nullptr || offset >= disk->size_bytes()) {
        fuse_reply_err(request, disk == nullptr ? EBADF : ENOSPC);
        return;
    }
    bytes = bytes.first(std::min<uint64_t>(bytes.size(), disk->size_bytes() - offset));
    if (auto done = hyper::write(*disk, offset, bytes, durable); !done)
        fuse_reply_err(request, change_errno(opened, done.error()));
    else
        fuse_reply_write(request, bytes.size());
}

void Filesystem::fsync(fuse_req_t request, const Handle& opened) {
    Result<void> done;
    if (opened.file->writable) done = opened.file->writable->flush();
    fuse_reply_err(request, done ? 0 : change_errno(opened, done.error()));
}

void Filesystem::fallocate(fuse_req_t request, const Handle& opened, int mode, uint64_t offset, uint64_t length) {
    bool punches = mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
    bool zeroes = (mode & ~FALLOC_FL_KEEP_SIZE) == FALLOC_FL_ZERO_RANGE;
    WritableDisk* disk = opened.file->writable.get();
    if (disk == nullptr || (!punches && !zeroes)) {
        fuse_reply_err(request, disk == nullptr ? EBADF : EOPNOTSUPP);
        return;
    }
    uint64_t size = disk->size_bytes();
    if (!range_within(offset, length, size)) {
        // What lies behind the end reads as zero anyway, for who does not want the file to grow.
        if ((mode & FALLOC_FL_KEEP_SIZE) == 0) {
            fuse_reply_err(request, ENOSPC);
            return;
        }
        length = offset < size ? size - offset : 0;
    }
    Result<void> done;
    if (length > 0) done = disk->zero(offset, length, zeroes, false);
    fuse_reply_err(request, done ? 0 : change_errno(opened, done.error()));
}

}  // namespace hyper
