// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/volume_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

namespace hyper {

// The lock is the process's that has the file open; what is in the file says to people which that is.
Result<UniqueFd> lock_volume(const VolumePaths& paths) {
    UniqueFd fd(::open(paths.lock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!fd) return fail(errno, "{}: open: {}", paths.lock(), errno_text(errno));
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        int why = errno;
        if (why != EWOULDBLOCK) return fail(why, "{}: lock: {}", paths.lock(), errno_text(why));
        char text[256] = {};
        [[maybe_unused]] ssize_t got = ::pread(fd.get(), text, sizeof text - 1, 0);
        return fail(EBUSY, "{}: is being written by {}", paths.folder, *text != '\0' ? text : "another process");
    }
    std::string me = fmt::format("{} (process {})", program_invocation_short_name, ::getpid());
    if (::ftruncate(fd.get(), 0) != 0 || ::pwrite(fd.get(), me.data(), me.size(), 0) != static_cast<ssize_t>(me.size()))
        return fail(errno, "{}: write: {}", paths.lock(), errno_text(errno));
    return fd;
}

}  // namespace hyper
