// SPDX-License-Identifier: Apache-2.0
#include "carbon/feeds/token_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "blockengine/base/unique_fd.h"

namespace hyper::carbon {
namespace {

constexpr size_t token_bytes_max = 4096;

}  // namespace

Result<std::string> read_token_file(const std::string& path) {
    UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return fail(errno, "token file {}: {}", path, errno_text(errno));
    struct stat status;
    if (::fstat(file.get(), &status) != 0) return fail(errno, "token file {}: {}", path, errno_text(errno));
    bool of_root = status.st_uid == 0 && status.st_gid == 0;
    if ((status.st_mode & (of_root ? 037 : 077)) != 0)
        return fail(EPERM, "token file {}: others may use it (mode {:04o}): chmod 0600 it", path, status.st_mode & 0777);
    std::string text(token_bytes_max + 1, '\0');
    ssize_t got = ::pread(file.get(), text.data(), text.size(), 0);
    if (got < 0) return fail(errno, "token file {}: {}", path, errno_text(errno));
    if (static_cast<size_t>(got) > token_bytes_max) return fail(EINVAL, "token file {}: longer than {} bytes", path, token_bytes_max);
    text.resize(static_cast<size_t>(got));
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
    if (text.empty()) return fail(EINVAL, "token file {}: is empty", path);
    for (char c : text)
        if (c < ' ' || c > '~') return fail(EINVAL, "token file {}: has to be one line of printable ASCII", path);
    return text;
}

}  // namespace hyper::carbon
