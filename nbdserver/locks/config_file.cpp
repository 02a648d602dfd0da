// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/locks/config_file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <cerrno>

#include "blockengine/base/unique_fd.h"

namespace hyper {

namespace {

struct OpenedFile {
    UniqueFd fd;
    struct stat status;
};

Result<OpenedFile> open_file(const std::string& path) {
    // Non-blocking, since opening a FIFO would wait.
    OpenedFile file{UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)), {}};
    if (!file.fd || fstat(file.fd.get(), &file.status) != 0)
        return fail(errno, "{}: open it: {}", path, errno_text(errno));
    if (!S_ISREG(file.status.st_mode)) return fail(EINVAL, "{}: this is no regular file", path);
    return file;
}

void wipe(std::string& bytes) {
    explicit_bzero(bytes.data(), bytes.capacity());
}

// The buffer is of one piece from the start, so that no copies of a secret are left behind.
Result<std::string> read_file(const std::string& path, const OpenedFile& file) {
    if (file.status.st_size > static_cast<off_t>(config_bytes_max))
        return fail(EFBIG, "{}: it has {} bytes, and {} are the most", path, file.status.st_size,
                    config_bytes_max);
    std::string bytes(static_cast<size_t>(file.status.st_size), '\0');
    size_t have = 0;
    while (have < bytes.size()) {
        ssize_t got = read(file.fd.get(), bytes.data() + have, bytes.size() - have);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            int code = errno;
            wipe(bytes);
            return fail(code, "{}: read it: {}", path, errno_text(code));
        }
        if (got == 0) break;
        have += static_cast<size_t>(got);
    }
    bytes.resize(have);
    return bytes;
}

}  // namespace

Result<std::string> read_config_file(const std::string& path) {
    OpenedFile file = TRY(open_file(path));
    return read_file(path, file);
}

Secret::Secret(Secret&& other) noexcept : bytes_(std::move(other.bytes_)) {
    wipe(other.bytes_);
}
Secret::~Secret() {
    wipe(bytes_);
}

Result<Secret> read_secret_file(const std::string& path) {
    OpenedFile file = TRY(open_file(path));
    unsigned mode = file.status.st_mode & 0777;
    bool of_root = file.status.st_uid == 0 && file.status.st_gid == 0;
    if ((mode & (of_root ? 037 : 077)) != 0)
        return fail(EPERM,
                    "{}: it holds a secret, but others may use it (mode {:04o}): chmod 0600 it",
                    path, mode);
    return Secret(TRY(read_file(path, file)));
}

}  // namespace hyper
