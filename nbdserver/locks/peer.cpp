// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/locks/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

// The kernel's header of vsock wants sockaddr's definition above it.
#include <linux/vm_sockets.h>

#include "nbdserver/locks/socket_address.h"

namespace hyper {

namespace {

// What the kernel shows instead of an id that has no mapping here (its default; also "nobody").
constexpr unsigned overflow_id = 65534;

// The kernel's limit of supplementary groups (NGROUPS_MAX).
constexpr size_t groups_max = 65536;

Result<std::vector<gid_t>> groups_of(int fd) {
    std::vector<gid_t> groups(64);
    for (;;) {
        auto length = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &length) == 0) {
            groups.resize(length / sizeof(gid_t));
            std::erase(groups, overflow_id);
            return groups;
        }
        // Where there are more, the kernel said how many.
        if (errno != ERANGE || length / sizeof(gid_t) <= groups.size() ||
            length / sizeof(gid_t) > groups_max)
            return fail(errno, "read the groups of a client: {}", errno_text(errno));
        groups.resize(length / sizeof(gid_t));
    }
}

Result<Peer> unix_peer(int fd) {
    ucred credentials{};
    socklen_t length = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0 ||
        length != sizeof credentials)
        return fail(errno, "read the credentials of a client: {}", errno_text(errno));
    Peer peer;
    peer.local = true;
    peer.address = fmt::format("unix uid {} pid {}", credentials.uid, credentials.pid);
    peer.origin = fmt::format("unix uid {}", credentials.uid);
    peer.groups = TRY(groups_of(fd));
    if (credentials.uid != overflow_id) peer.uid = credentials.uid;
    if (credentials.gid != overflow_id) peer.gid = credentials.gid;
    return peer;
}

std::string without_port(const std::string& address) {
    return address.substr(0, address.rfind(':'));
}

std::string network_of(const sockaddr_in6& address, const std::string& text) {
    if (IN6_IS_ADDR_V4MAPPED(&address.sin6_addr)) return without_port(text);
    in6_addr network = address.sin6_addr;
    std::memset(network.s6_addr + 8, 0, 8);
    char shown[INET6_ADDRSTRLEN] = "";
    inet_ntop(AF_INET6, &network, shown, sizeof shown);
    return fmt::format("{}/64", shown);
}

}  // namespace

Result<Peer> peer_of(int fd) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0)
        return fail(errno, "read the address of a client: {}", errno_text(errno));
    if (address.ss_family == AF_UNIX) return unix_peer(fd);
    Peer peer;
    peer.address = address_text(address, length);
    switch (address.ss_family) {
        case AF_INET:
        case AF_VSOCK:
            peer.origin = without_port(peer.address);
            return peer;
        case AF_INET6:
            peer.origin = network_of(reinterpret_cast<const sockaddr_in6&>(address), peer.address);
            return peer;
        default:
            return fail(EAFNOSUPPORT, "a client came by address family {}, which is not served",
                        address.ss_family);
    }
}

}  // namespace hyper
