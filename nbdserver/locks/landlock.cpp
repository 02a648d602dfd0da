// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/locks/landlock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>

#include "blockengine/base/unique_fd.h"

namespace hyper {

namespace {

// The kernel's interface (landlock(7), landlock_create_ruleset(2)), up to version 7.
struct RulesetAttributes {
    uint64_t handled_fs, handled_net, scoped;
};
struct [[gnu::packed]] PathBeneath {
    uint64_t allowed;
    int32_t parent_fd;
};
static_assert(sizeof(RulesetAttributes) == 24 && sizeof(PathBeneath) == 12);
constexpr unsigned create_version = 1;
constexpr int rule_path_beneath = 1;

enum Right : uint64_t {
    write_file = 1 << 1,
    read_file = 1 << 2,
    read_folder = 1 << 3,
    remove_folder = 1 << 4,
    remove_file = 1 << 5,
    make_folder = 1 << 7,
    make_file = 1 << 8,
    make_socket = 1 << 9,
    truncate_file = 1 << 14,
    device_ioctl = 1 << 15,
};
// Those that a rule for a file, rather than for a folder, may have.
constexpr uint64_t rights_of_files = write_file | read_file | truncate_file | device_ioctl;
constexpr uint64_t reading = read_file | read_folder | device_ioctl;
constexpr uint64_t writing =
    reading | write_file | truncate_file | remove_file | remove_folder | make_file | make_folder | make_socket;
constexpr uint64_t tcp_bind_and_connect = 3;
constexpr uint64_t scope_abstract_sockets = 1, scope_signals = 2;

// All rights that a version knows.
uint64_t rights_of_version(int version) {
    if (version >= 5) return (1 << 16) - 1;
    if (version >= 3) return (1 << 15) - 1;
    if (version >= 2) return (1 << 14) - 1;
    return (1 << 13) - 1;
}

RulesetAttributes attributes_of(int version) {
    RulesetAttributes attributes{rights_of_version(version), 0, 0};
    if (version >= 4) attributes.handled_net = tcp_bind_and_connect;
    if (version >= 6) {
        // A service manager in a container may listen at an abstract socket.
        const char* manager = getenv("NOTIFY_SOCKET");
        bool abstract = manager != nullptr && manager[0] == '@';
        attributes.scoped = scope_signals | (abstract ? 0 : scope_abstract_sockets);
    }
    return attributes;
}

// An older kernel refuses members that it does not know.
size_t attributes_size(int version) {
    if (version >= 6) return 24;
    return version >= 4 ? 16 : 8;
}

Result<void> allow(int ruleset, const std::string& path, uint64_t rights) {
    UniqueFd fd(open(path.c_str(), O_PATH | O_CLOEXEC));
    struct stat found;
    if (!fd || fstat(fd.get(), &found) != 0)
        return fail(errno, "sandbox: {}: open it: {}", path, errno_text(errno));
    if (!S_ISDIR(found.st_mode)) rights &= rights_of_files;
    PathBeneath rule{rights, fd.get()};
    if (rights != 0 && syscall(SYS_landlock_add_rule, ruleset, rule_path_beneath, &rule, 0) != 0)
        return fail(errno, "sandbox: {}: allow it: {}", path, errno_text(errno));
    return {};
}

}  // namespace

Result<int> restrict_files(const SandboxPaths& paths) {
    auto version =
        static_cast<int>(syscall(SYS_landlock_create_ruleset, nullptr, 0, create_version));
    if (version < 1) return 0;
    RulesetAttributes attributes = attributes_of(version);
    UniqueFd ruleset(static_cast<int>(
        syscall(SYS_landlock_create_ruleset, &attributes, attributes_size(version), 0)));
    if (!ruleset) return fail(errno, "sandbox: make a set of rules: {}", errno_text(errno));
    uint64_t known = attributes.handled_fs;
    for (const char* path : {"/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/localtime"}) {
        auto done = allow(ruleset.get(), path, reading & known);
        if (!done && done.error().code != ENOENT) return tl::unexpected(done.error());
    }
    for (const std::string& path : paths.read) TRY(allow(ruleset.get(), path, reading & known));
    for (const std::string& path : paths.write) TRY(allow(ruleset.get(), path, writing & known));
    for (const std::string& path : paths.remove)
        TRY(allow(ruleset.get(), path, remove_file & known));
    if (syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0)
        return fail(errno, "sandbox: confine the process to its files: {}", errno_text(errno));
    return version;
}

}  // namespace hyper
