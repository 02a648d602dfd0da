// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/locks/socket_address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string_view>

// The kernel's header of vsock wants sockaddr's definition above it.
#include <linux/vm_sockets.h>

namespace hyper {

namespace {

std::string printable(std::string_view text) {
    std::string shown(text);
    std::replace_if(
        shown.begin(), shown.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
    return shown;
}

std::string unix_text(const sockaddr_un& address, socklen_t length) {
    size_t room = std::min<size_t>(length, sizeof address) - offsetof(sockaddr_un, sun_path);
    if (room > 0 && address.sun_path[0] == '\0')
        return "unix @" + printable({address.sun_path + 1, room - 1});
    return "unix " + printable({address.sun_path, strnlen(address.sun_path, room)});
}

std::string inet6_text(const sockaddr_in6& address) {
    char text[INET6_ADDRSTRLEN] = "";
    uint16_t port = ntohs(address.sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&address.sin6_addr)) {
        inet_ntop(AF_INET, address.sin6_addr.s6_addr + 12, text, sizeof text);
        return fmt::format("{}:{}", text, port);
    }
    inet_ntop(AF_INET6, &address.sin6_addr, text, sizeof text);
    return fmt::format("[{}]:{}", text, port);
}

}  // namespace

std::string address_text(const sockaddr_storage& address, socklen_t length) {
    switch (address.ss_family) {
        case AF_UNIX:
            if (length < offsetof(sockaddr_un, sun_path)) break;
            return unix_text(reinterpret_cast<const sockaddr_un&>(address), length);
        case AF_INET: {
            if (length < sizeof(sockaddr_in)) break;
            const auto& inet = reinterpret_cast<const sockaddr_in&>(address);
            char text[INET_ADDRSTRLEN] = "";
            inet_ntop(AF_INET, &inet.sin_addr, text, sizeof text);
            return fmt::format("{}:{}", text, ntohs(inet.sin_port));
        }
        case AF_INET6:
            if (length < sizeof(sockaddr_in6)) break;
            return inet6_text(reinterpret_cast<const sockaddr_in6&>(address));
        case AF_VSOCK: {
            if (length < sizeof(sockaddr_vm)) break;
            const auto& vsock = reinterpret_cast<const sockaddr_vm&>(address);
            if (vsock.svm_cid == VMADDR_CID_ANY) return fmt::format("vsock any:{}", vsock.svm_port);
            return fmt::format("vsock {}:{}", vsock.svm_cid, vsock.svm_port);
        }
        default:
            break;
    }
    return fmt::format("family {}", address.ss_family);
}

}  // namespace hyper
