// SPDX-License-Identifier: Apache-2.0
#include "blockengine/file.h"

#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <optional>

#include "blockengine/far_reader.h"
#include "blockengine/file_reads.h"

namespace hyper {

namespace {
std::atomic<uint64_t> next_id{1};
}

File::File(int fd, std::string path, Io& io) : io_(io), path_(std::move(path)), fd_(fd), id_(next_id++) {}

File::~File() {
    if (fd_ >= 0) ::close(fd_);
}

Result<std::shared_ptr<const File>> File::open(const std::string& path, Io& io) {
    // O_NONBLOCK: opening a FIFO must not wait for a writer; it has no effect on files and devices.
    int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return fail(errno, "open {}: {}", path, errno_text(errno));
    return adopt(fd, path, io);
}

Result<std::shared_ptr<const File>> File::adopt(int fd, const std::string& path, Io& io) {
    std::shared_ptr<File> file(new File(fd, path, io));
    struct stat status;
    if (::fstat(fd, &status) != 0) return fail(errno, "stat {}: {}", path, errno_text(errno));
    if (S_ISREG(status.st_mode)) {
        file->size_bytes_ = static_cast<uint64_t>(status.st_size);
    } else if (S_ISBLK(status.st_mode)) {
        if (::ioctl(fd, BLKGETSIZE64, &file->size_bytes_) != 0)
            return fail(errno, "{}: size of the block device: {}", path, errno_text(errno));
    } else {
        return fail(EINVAL, "{}: neither a file nor a block device", path);
    }
    // Who opened it did so without waiting (a FIFO). Now the flag would only harm: where the file system cannot promise not
    // to wait, as network ones, io_uring then ends each read with EAGAIN instead of doing it in the background.
    // tmpfs never waits, but does not promise it, and io_uring would give its reads to a kernel thread each: there it stays.
    struct statfs system {};
    bool in_memory = ::fstatfs(fd, &system) == 0 && system.f_type == TMPFS_MAGIC;
    if (int flags = ::fcntl(fd, F_GETFL); flags >= 0)
        ::fcntl(fd, F_SETFL, in_memory ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
    file->device_ = status.st_dev;
    file->inode_ = status.st_ino;
    file->modified_ = status.st_mtim;
    return file;
}

Result<std::shared_ptr<const File>> File::from_bytes(std::span<const std::byte> bytes, const std::string& name,
                                                     Io& io) {
    int fd = ::memfd_create("hyper", MFD_CLOEXEC);
    if (fd < 0) return fail(errno, "memory file for {}: {}", name, errno_text(errno));
    while (!bytes.empty()) {
        ssize_t written = ::write(fd, bytes.data(), bytes.size());
        if (written <= 0) {
            int why = errno;
            ::close(fd);
            return fail(why, "memory file for {}: {}", name, errno_text(why));
        }
        bytes = bytes.subspan(static_cast<size_t>(written));
    }
    return adopt(fd, name, io);
}

std::shared_ptr<const File> File::far(std::unique_ptr<FarReader> reader, Io& io) {
    std::shared_ptr<File> file(new File(-1, reader->remote().name(), io));
    file->size_bytes_ = reader->remote().size_bytes();
    file->device_ = UINT64_MAX;
    file->inode_ = file->id_;
    file->far_ = std::move(reader);
    return file;
}

Result<void> File::read(uint64_t offset, std::span<std::byte> buffer) const { return read_file(io_, *this, offset, buffer); }

namespace {

// The first written extent at or after `offset`, joined with those that touch it. nullopt where the file system has
// no extent map (tmpfs, devices). SEEK_DATA is not asked first, since it counts preallocated blocks as data while
// they happen to be in the page cache: the same file would be laid out in two ways.
std::optional<File::Run> next_written(int fd, uint64_t offset, uint64_t end) {
    constexpr unsigned extents_max = 32;
    alignas(fiemap) std::byte memory[sizeof(fiemap) + extents_max * sizeof(fiemap_extent)] = {};
    auto& map = *reinterpret_cast<fiemap*>(memory);
    File::Run run{end, end};
    while (offset < end) {
        map.fm_start = offset;
        map.fm_length = end - offset;
        map.fm_flags = FIEMAP_FLAG_SYNC;
        map.fm_extent_count = extents_max;
        map.fm_mapped_extents = 0;
        if (::ioctl(fd, FS_IOC_FIEMAP, &map) != 0) return std::nullopt;
        unsigned count = map.fm_mapped_extents;
        bool last = count < extents_max;
        for (unsigned i = 0; i < count; ++i) {
            const fiemap_extent& extent = map.fm_extents[i];
            uint64_t start = std::max<uint64_t>(extent.fe_logical, offset);
            offset = std::max<uint64_t>(offset, extent.fe_logical + extent.fe_length);
            last |= (extent.fe_flags & FIEMAP_EXTENT_LAST) != 0;
            bool written = (extent.fe_flags & FIEMAP_EXTENT_UNWRITTEN) == 0;
            if (run.start == end) {
                if (written) run = {start, std::min(offset, end)};
            } else if (written && start == run.stop) {
                run.stop = std::min(offset, end);
            } else {
                return run;
            }
        }
        if (last) break;
    }
    return run;
}

File::Run next_sought(int fd, uint64_t offset, uint64_t end) {
    off_t start = ::lseek(fd, static_cast<off_t>(offset), SEEK_DATA);
    if (start < 0) return errno == ENXIO ? File::Run{end, end} : File::Run{offset, end};
    if (static_cast<uint64_t>(start) >= end) return {end, end};
    off_t stop = ::lseek(fd, start, SEEK_HOLE);
    if (stop < 0) return {static_cast<uint64_t>(start), end};
    return {static_cast<uint64_t>(start), std::min(static_cast<uint64_t>(stop), end)};
}

}  // namespace

File::Run File::next_data(uint64_t offset, uint64_t end) const {
    if (offset >= end) return {end, end};
    if (far_) {
        Remote::Run data = far_->remote().next_data(offset, end);
        return {data.start, data.stop};
    }
    auto written = next_written(fd_, offset, end);
    Run run = written ? *written : next_sought(fd_, offset, end);
    if (run.start < end) return run;
    // Either a hole is left, or the file has shrunk since: what is missing is no hole, but an error to its reader.
    struct stat status {};
    if (::fstat(fd_, &status) != 0) return {offset, end};
    if (S_ISREG(status.st_mode)) run.start = std::clamp(static_cast<uint64_t>(status.st_size), offset, end);
    return run;
}

}  // namespace hyper
