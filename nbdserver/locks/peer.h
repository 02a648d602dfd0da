// SPDX-License-Identifier: Apache-2.0
// Who a client is: what the kernel says of its socket, and what TLS proved afterwards.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "blockengine/base/result.h"

namespace hyper {

// A value. What is not known is empty, and an empty field never matches a rule.
struct Peer {
    std::string address;  // for logs: "unix uid 1000 pid 4711", "192.0.2.7:40212",
                          // "[2001:db8::7]:40212", "vsock 3:1044"
    // What limits count by: one for all connections of a Unix user, an IPv4 address, an IPv6 /64
    // network, or a vsock CID, since a client picks its own port, and every address within its /64.
    std::string origin;
    bool local = false;  // came through a Unix socket, so its mode let the client in

    // Of the process that called connect(), when it did; Unix sockets only. Ids which the server's
    // user namespace does not have are left out: the kernel shows them all as one, "nobody".
    std::optional<uid_t> uid;
    std::optional<gid_t> gid;
    std::vector<gid_t> groups;  // the supplementary ones

    // Filled in after the TLS handshake (tls.h).
    std::vector<std::string> certificate_names;  // the subject's CN, then the DNS names
    std::string psk_identity;
};

// Reads the peer of a connected socket. Errors: ENOTCONN where the client has left already;
// EAFNOSUPPORT for a family other than Unix, IPv4, IPv6 and vsock.
Result<Peer> peer_of(int fd);

}  // namespace hyper
