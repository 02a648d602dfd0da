// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/locks/notify.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

#include "blockengine/base/unique_fd.h"

namespace hyper {

namespace {

// The kernel's SCM_MAX_FD.
constexpr size_t fds_max = 253;

Result<void> send_message(std::string message, std::span<const int> fds = {}) {
    const char* variable = getenv("NOTIFY_SOCKET");
    if (variable == nullptr || *variable == '\0') return {};
    std::string_view where = variable;
    if (where[0] != '/' && where[0] != '@')
        return fail(EPROTONOSUPPORT,
                    "NOTIFY_SOCKET is \"{}\", which is neither a path nor an abstract socket",
                    where);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (where.size() < 2 || where.size() >= sizeof address.sun_path)
        return fail(EINVAL, "NOTIFY_SOCKET has {} bytes, and a Unix socket's name has 2 to {}",
                    where.size(), sizeof address.sun_path - 1);
    where.copy(address.sun_path, where.size());
    if (where[0] == '@') address.sun_path[0] = '\0';

    iovec text{message.data(), message.size()};
    msghdr header{};
    header.msg_name = &address;
    header.msg_namelen = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + where.size());
    header.msg_iov = &text;
    header.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(fds_max * sizeof(int))] = {};
    if (!fds.empty()) {
        header.msg_control = control;
        header.msg_controllen = CMSG_SPACE(fds.size_bytes());
        cmsghdr* rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(fds.size_bytes());
        std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
    }
    UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd || sendmsg(fd.get(), &header, MSG_NOSIGNAL) < 0)
        return fail(errno, "tell the service manager at {}: {}", where, errno_text(errno));
    return {};
}

std::string one_line(std::string_view text) {
    std::string line(text);
    std::replace_if(
        line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
    return line;
}

Result<void> check_name(std::string_view name) {
    bool good = !name.empty() && name.size() <= 255 &&
                std::all_of(name.begin(), name.end(),
                            [](char c) { return c >= 0x20 && c <= 0x7e && c != ':'; });
    if (!good) return fail(EINVAL, "\"{}\" cannot name a stored descriptor", one_line(name));
    return {};
}

}  // namespace

Result<void> notify_ready(std::string_view status) {
    return send_message(fmt::format("READY=1\nSTATUS={}", one_line(status)));
}

Result<void> notify_status(std::string_view status) {
    return send_message("STATUS=" + one_line(status));
}

Result<void> notify_reloading() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return send_message(fmt::format("RELOADING=1\nMONOTONIC_USEC={}",
                                    now.tv_sec * 1'000'000ULL + now.tv_nsec / 1000));
}

Result<void> notify_stopping() {
    return send_message("STOPPING=1");
}

Result<void> notify_store(std::string_view name, std::span<const int> fds) {
    TRY(check_name(name));
    if (fds.empty() || fds.size() > fds_max)
        return fail(EINVAL, "store {} descriptors: a message carries 1 to {}", fds.size(), fds_max);
    return send_message(fmt::format("FDSTORE=1\nFDNAME={}", name), fds);
}

Result<void> notify_forget(std::string_view name) {
    TRY(check_name(name));
    return send_message(fmt::format("FDSTOREREMOVE=1\nFDNAME={}", name));
}

}  // namespace hyper
