// SPDX-License-Identifier: Apache-2.0
// Blocking sockets, for the bare programs. What fails says so by false and errno.
#pragma once

#include <sys/socket.h>

#include <cerrno>
#include <cstddef>

namespace hyper {

// What hypernbd asks for, so that all wait for the receiver as rarely.
inline constexpr int send_buffer_bytes = 4 << 20;

inline void want_send_buffer(int fd) { ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer_bytes, sizeof send_buffer_bytes); }

[[nodiscard]] inline bool receive(int fd, void* into, size_t bytes) {
    auto* at = static_cast<char*>(into);
    while (bytes > 0) {
        ssize_t got = ::recv(fd, at, bytes, MSG_WAITALL);
        if (got == 0) errno = ECONNRESET;
        if (got <= 0) return false;
        at += got;
        bytes -= static_cast<size_t>(got);
    }
    return true;
}

[[nodiscard]] inline bool send_all(int fd, const void* from, size_t bytes) {
    auto* at = static_cast<const char*>(from);
    while (bytes > 0) {
        ssize_t sent = ::send(fd, at, bytes, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        at += sent;
        bytes -= static_cast<size_t>(sent);
    }
    return true;
}

}  // namespace hyper
