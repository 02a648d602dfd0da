// SPDX-License-Identifier: Apache-2.0
// Socket addresses as text for logs and messages.
#pragma once

#include <sys/socket.h>

#include <string>

namespace hyper {

// "192.0.2.7:40212", "[2001:db8::7]:40212", "vsock 3:1044" ("vsock any:1044" for an open CID),
// "unix /run/hyper/nbd.sock"
// ("unix @name" for an abstract one), "family 17" for others. An IPv4 address in IPv6's clothes is
// shown as IPv4. Bytes that are no printable ASCII are shown as "?".
std::string address_text(const sockaddr_storage& address, socklen_t length);

}  // namespace hyper
