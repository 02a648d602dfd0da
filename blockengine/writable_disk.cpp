// SPDX-License-Identifier: Apache-2.0
#include "blockengine/writable_disk.h"

#include <unistd.h>

#include <cerrno>

namespace hyper {

namespace {

// All of it, or an errno.
int write_fully(int fd, uint64_t offset, std::span<iovec> pieces, int flags) {
    while (!pieces.empty()) {
        auto at = static_cast<off_t>(offset);
        ssize_t put = pieces.size() == 1 && flags == 0
                          ? ::pwrite(fd, pieces[0].iov_base, pieces[0].iov_len, at)
                          : ::pwritev2(fd, pieces.data(), static_cast<int>(pieces.size()), at, flags);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return put < 0 ? errno : EIO;
        offset += static_cast<uint64_t>(put);
        auto rest = static_cast<size_t>(put);
        while (!pieces.empty() && rest >= pieces.front().iov_len) {
            rest -= pieces.front().iov_len;
            pieces = pieces.subspan(1);
        }
        if (pieces.empty()) break;
        pieces.front().iov_base = static_cast<std::byte*>(pieces.front().iov_base) + rest;
        pieces.front().iov_len -= rest;
    }
    return 0;
}

}  // namespace

std::shared_ptr<const Source> source_of(const std::shared_ptr<WritableDisk>& disk) {
    struct Both {
        std::shared_ptr<WritableDisk> disk;
        std::shared_ptr<const Source> source;
    };
    auto both = std::make_shared<Both>(Both{disk, disk->source()});
    return {both, both->source.get()};
}

Result<void> write(WritableDisk& disk, uint64_t offset, std::span<iovec> pieces, bool durable) {
    uint64_t length = 0;
    for (const iovec& piece : pieces) length += piece.iov_len;
    if (length == 0) return {};
    int flags = durable ? disk.durable_write_flags() : 0;
    TRY(disk.prepare_write(offset, length));
    int error = write_fully(disk.fd(), offset, pieces, flags);
    disk.written(offset, length, flags, error);
    if (error != 0) return fail(error, "write {} bytes at offset {}: {}", length, offset, errno_text(error));
    if (durable && flags == 0) return disk.flush();
    return {};
}

Result<void> write(WritableDisk& disk, uint64_t offset, std::span<const std::byte> bytes, bool durable) {
    iovec piece{const_cast<std::byte*>(bytes.data()), bytes.size()};
    return write(disk, offset, {&piece, 1}, durable);
}

}  // namespace hyper
