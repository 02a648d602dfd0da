// SPDX-License-Identifier: Apache-2.0
#include "tools/hyperctl/output_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

namespace hyper::ctl {

namespace {

namespace fs = std::filesystem;

std::string folder_of(const std::string& path) {
    std::string folder = fs::path(path).parent_path().string();
    return folder.empty() ? "." : folder;
}

// What open(2) would give a new file; mkstemp is stricter.
mode_t new_file_mode() {
    mode_t mask = ::umask(0);
    ::umask(mask);
    return 0666 & ~mask;
}

}  // namespace

Result<OutputFile> OutputFile::create(const std::string& path, uint64_t size_bytes, bool overwrite) {
    struct stat status;
    if (::lstat(path.c_str(), &status) == 0) {
        if (!overwrite) return fail(EEXIST, "{}: exists already (--force overwrites it)", path);
        if (!S_ISREG(status.st_mode)) return fail(EEXIST, "{}: exists and is not a plain file", path);
    }
    std::string file_name = fs::path(path).filename().string();
    if (file_name.empty()) return fail(EISDIR, "{}: is not a file's name", path);
    std::string hidden = folder_of(path) + "/." + file_name + ".XXXXXX";
    int fd = ::mkostemp(hidden.data(), O_CLOEXEC);
    if (fd < 0) return fail(errno, "{}: create a file in {}: {}", path, folder_of(path), errno_text(errno));
    OutputFile file(path, std::move(hidden), fd, overwrite);
    if (::fchmod(fd, new_file_mode()) != 0 || ::ftruncate(fd, static_cast<off_t>(size_bytes)) != 0)
        return fail(errno, "{}: make a file of {} bytes: {}", path, size_bytes, errno_text(errno));
    return file;
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)),
      hidden_path_(std::exchange(other.hidden_path_, {})),
      fd_(std::exchange(other.fd_, -1)),
      overwrite_(other.overwrite_) {}

OutputFile::~OutputFile() {
    if (fd_ >= 0) ::close(fd_);
    if (!hidden_path_.empty()) ::unlink(hidden_path_.c_str());
}

Result<void> OutputFile::write(uint64_t offset, std::span<const std::byte> bytes) const {
    while (!bytes.empty()) {
        ssize_t written = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) {
            int why = written < 0 ? errno : EIO;
            return fail(why, "{}: write {} bytes at offset {}: {}", path_, bytes.size(), offset, errno_text(why));
        }
        offset += static_cast<uint64_t>(written);
        bytes = bytes.subspan(static_cast<size_t>(written));
    }
    return {};
}

Result<void> OutputFile::sync() {
    if (::fsync(fd_) != 0) return fail(errno, "{}: write it to the disk: {}", path_, errno_text(errno));
    return {};
}

Result<void> OutputFile::publish() {
    int failed = overwrite_ ? ::rename(hidden_path_.c_str(), path_.c_str())
                            : ::renameat2(AT_FDCWD, hidden_path_.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE);
    // Some network file systems know no RENAME_NOREPLACE; that nothing was there has been checked at the start.
    if (failed != 0 && errno == EINVAL && !overwrite_) failed = ::rename(hidden_path_.c_str(), path_.c_str());
    if (failed != 0) return fail(errno, "{}: rename {} to it: {}", path_, hidden_path_, errno_text(errno));
    hidden_path_.clear();
    int folder = ::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool synced = folder >= 0 && ::fsync(folder) == 0;
    int why = errno;
    if (folder >= 0) ::close(folder);
    if (!synced) return fail(why, "{}: write its folder to the disk: {}", path_, errno_text(why));
    return {};
}

}  // namespace hyper::ctl
