// SPDX-License-Identifier: Apache-2.0
// Requests of the transmission phase, as they come off the wire, and what is wrong with them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "nbdserver/handshake.h"
#include "nbdserver/protocol.h"

namespace hyper::nbd {

struct Request {
    uint16_t flags, type;
    uint64_t cookie, offset;
    uint64_t length;         // of the range that it is about
    uint64_t payload_bytes;  // that follow it
};

inline size_t request_header_bytes(Mode mode) {
    return mode == Mode::extended ? sizeof(ExtendedRequest) : sizeof(CompactRequest);
}

// `header` has request_header_bytes(mode) bytes. nullopt where its magic is wrong: the stream has no meaning any more.
std::optional<Request> parse_request(std::span<const std::byte> header, Mode mode);

// Whether a session allows the request: 0, or the errno to answer it with. CMD_DISC is always allowed.
int check_request(const Request& request, const Session& session);

}  // namespace hyper::nbd
