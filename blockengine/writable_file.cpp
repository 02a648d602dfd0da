// SPDX-License-Identifier: Apache-2.0
#include "blockengine/writable_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "blockengine/base/bytes.h"

namespace hyper {

namespace {

bool unsupported(int error) { return error == EOPNOTSUPP || error == ENOSYS || error == EINVAL || error == ENODEV; }

// 0 or an errno.
int allocate(int fd, int mode, uint64_t offset, uint64_t length) {
    int result;
    do {
        result = ::fallocate(fd, mode, static_cast<off_t>(offset), static_cast<off_t>(length));
    } while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno;
}

}  // namespace

Result<std::shared_ptr<WritableFile>> WritableFile::open(const std::string& path, Io& io) {
    int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return fail(errno, "open {} for writing: {}", path, errno_text(errno));
    return adopt(fd, path, io);
}

Result<std::shared_ptr<WritableFile>> WritableFile::adopt(int fd, const std::string& path, Io& io) {
    auto file = TRY(File::adopt(fd, path, io));
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0)
        return fail(errno == EWOULDBLOCK ? EBUSY : errno, "{}: {}", path,
                    errno == EWOULDBLOCK ? "another process has it open for writing" : errno_text(errno));
    return std::shared_ptr<WritableFile>(new WritableFile(std::move(file)));
}

// flock(2) belongs to what was opened, which a duplicate shares.
Result<std::shared_ptr<WritableFile>> WritableFile::with_present_size() const {
    int fd = ::fcntl(file_->fd(), F_DUPFD_CLOEXEC, 0);
    if (fd < 0) return fail(errno, "{}: {}", file_->path(), errno_text(errno));
    auto file = TRY(File::adopt(fd, file_->path(), file_->io()));
    std::shared_ptr<WritableFile> same(new WritableFile(std::move(file)));
    same->lost_ = lost_;
    return same;
}

Result<void> WritableFile::zero(uint64_t offset, uint64_t length, bool keep_allocated, bool fast) {
    int error = allocate(fd(), (keep_allocated ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE) | FALLOC_FL_KEEP_SIZE,
                         offset, length);
    if (error != 0 && unsupported(error)) {
        if (fast) return fail(ENOTSUP, "{}: zeroing is not faster than writing here", file_->path());
        return write_zeros(offset, length);
    }
    if (error != 0)
        return fail(error, "{}: zero {} bytes at offset {}: {}", file_->path(), length, offset, errno_text(error));
    return {};
}

Result<void> WritableFile::trim(uint64_t offset, uint64_t length) {
    int error = allocate(fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
    if (error != 0 && !unsupported(error))
        return fail(error, "{}: trim {} bytes at offset {}: {}", file_->path(), length, offset, errno_text(error));
    return {};
}

void WritableFile::written(uint64_t, uint64_t, int flags, int error) {
    if ((flags & RWF_DSYNC) != 0 && error != 0 && error != ENOSPC && error != EDQUOT && error != EFBIG) *lost_ = error;
}

Result<void> WritableFile::flush() {
    if (::fdatasync(fd()) != 0) *lost_ = errno;
    if (int error = *lost_; error != 0)
        return fail(error, "{}: flush: {}; what was written since the last flush may be lost", file_->path(), errno_text(error));
    return {};
}

Result<void> WritableFile::write_zeros(uint64_t offset, uint64_t length) {
    const std::vector<std::byte> zeros(std::min<uint64_t>(length, MiB));
    while (length > 0) {
        ssize_t written = ::pwrite(fd(), zeros.data(), std::min<uint64_t>(length, zeros.size()), static_cast<off_t>(offset));
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0)
            return fail(written < 0 ? errno : EIO, "{}: write {} zeros at offset {}: {}", file_->path(), length, offset,
                        errno_text(written < 0 ? errno : EIO));
        offset += static_cast<uint64_t>(written);
        length -= static_cast<uint64_t>(written);
    }
    return {};
}

}  // namespace hyper
