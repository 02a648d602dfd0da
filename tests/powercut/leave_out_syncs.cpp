// SPDX-License-Identifier: Apache-2.0
// A library for LD_PRELOAD that makes any program careless: it leaves out fsync, fdatasync and sync_file_range of files whose path fits the
// shell pattern $LEAVE_OUT, and says that all went well. To plant what the power-cut harness must find.
#include <dlfcn.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <string>

namespace {

bool left_out(int fd) {
    const char* pattern = ::getenv("LEAVE_OUT");
    char path[PATH_MAX];
    ssize_t length = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), path, sizeof path - 1);
    if (pattern == nullptr || length < 0) return false;
    path[length] = '\0';
    return ::fnmatch(pattern, path, 0) == 0;
}

int sync_unless_left_out(const char* name, int fd) {
    if (left_out(fd)) return 0;
    auto real = reinterpret_cast<int (*)(int)>(::dlsym(RTLD_NEXT, name));
    return real(fd);
}

}  // namespace

extern "C" {
__attribute__((visibility("default"))) int fsync(int fd) { return sync_unless_left_out("fsync", fd); }
__attribute__((visibility("default"))) int fdatasync(int fd) { return sync_unless_left_out("fdatasync", fd); }
__attribute__((visibility("default"))) int sync_file_range(int fd, off64_t offset, off64_t count, unsigned flags) {
    if (left_out(fd)) return 0;
    auto real = reinterpret_cast<int (*)(int, off64_t, off64_t, unsigned)>(::dlsym(RTLD_NEXT, "sync_file_range"));
    return real(fd, offset, count, flags);
}
}
