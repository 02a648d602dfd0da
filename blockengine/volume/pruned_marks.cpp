// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/pruned_marks.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "blockengine/base/bytes.h"

namespace hyper {

namespace {

constexpr size_t map_bytes = PrunedMarks::generation_max + 1;
constexpr size_t page_bytes = 4096;

}  // namespace

Result<void> PrunedMarks::create(const std::string& path) {
    int fd = ::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    bool made = fd >= 0 && ::ftruncate(fd, map_bytes) == 0 && ::fsync(fd) == 0;
    int why = errno;
    if (fd >= 0) ::close(fd);
    if (!made) return fail(why, "{}: create: {}", path, errno_text(why));
    return {};
}

Result<PrunedMarks> PrunedMarks::open(const std::string& path, bool writing) {
    int fd = ::open(path.c_str(), (writing ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (fd < 0) return fail(errno, "{}: open: {}", path, errno_text(errno));
    off_t size = ::lseek(fd, 0, SEEK_END);
    void* mapped = MAP_FAILED;
    if (size == static_cast<off_t>(map_bytes))
        mapped = ::mmap(nullptr, map_bytes, PROT_READ | (writing ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    else
        errno = EINVAL;
    int why = errno;
    ::close(fd);
    if (mapped == MAP_FAILED)
        return fail(EIO, "{}: {} bytes, of which {} were expected: {}", path, size, map_bytes, errno_text(why));
    PrunedMarks marks;
    marks.path_ = path;
    marks.bytes_ = std::shared_ptr<std::byte>(static_cast<std::byte*>(mapped),
                                              [](std::byte* bytes) { ::munmap(bytes, map_bytes); });
    return marks;
}

bool PrunedMarks::pruned(uint32_t generation) const {
    return generation > generation_max ||
           std::atomic_ref(bytes_.get()[generation]).load(std::memory_order_acquire) != std::byte{0};
}

Result<void> PrunedMarks::mark(uint32_t generation) {
    std::atomic_ref(bytes_.get()[generation]).store(std::byte{1}, std::memory_order_seq_cst);
    std::byte* page = bytes_.get() + round_down(generation, page_bytes);
    if (::msync(page, page_bytes, MS_SYNC) != 0) return fail(errno, "{}: sync: {}", path_, errno_text(errno));
    return {};
}

}  // namespace hyper
