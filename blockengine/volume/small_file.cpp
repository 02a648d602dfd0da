// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/small_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace hyper {

namespace {

// Sets errno where it cannot.
bool write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        ssize_t written = ::write(fd, text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return false;
        text.remove_prefix(static_cast<size_t>(written));
    }
    return true;
}

}  // namespace

Result<std::string> read_small_file(const std::string& path, size_t bytes_max) {
    int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail(errno, "{}: open: {}", path, errno_text(errno));
    std::string text(bytes_max + 1, '\0');
    ssize_t got = ::pread(fd, text.data(), text.size(), 0);
    int why = errno;
    ::close(fd);
    if (got < 0) return fail(why, "{}: read: {}", path, errno_text(why));
    if (static_cast<size_t>(got) > bytes_max) return fail(EFBIG, "{}: longer than {} bytes", path, bytes_max);
    text.resize(static_cast<size_t>(got));
    return text;
}

Result<void> prepare_small_file(const std::string& path, std::string_view text) {
    std::string fresh = path + ".new";
    int fd = ::open(fresh.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
    bool good = fd >= 0 && write_all(fd, text) && ::fsync(fd) == 0;
    int why = errno;
    if (fd >= 0) ::close(fd);
    if (good) return {};
    ::unlink(fresh.c_str());
    return fail(why, "{}: write: {}", path, errno_text(why));
}

Result<void> put_in_place(const std::string& path) {
    std::string fresh = path + ".new";
    if (::rename(fresh.c_str(), path.c_str()) == 0) return {};
    int why = errno;
    ::unlink(fresh.c_str());
    return fail(why, "{}: write: {}", path, errno_text(why));
}

Result<void> write_small_file(const std::string& path, std::string_view text) {
    TRY(prepare_small_file(path, text));
    TRY(put_in_place(path));
    return sync_folder(path.substr(0, path.rfind('/')));
}

Result<void> sync_folder(const std::string& path) {
    int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && ::fsync(fd) == 0;
    int why = errno;
    if (fd >= 0) ::close(fd);
    if (!good) return fail(why, "{}: sync: {}", path, errno_text(why));
    return {};
}

}  // namespace hyper
