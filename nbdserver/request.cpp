// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/request.h"

#include <cerrno>

namespace hyper::nbd {

namespace {

template <class Wire>
Request from_wire(const Wire& wire) {
    Request request{wire.flags, wire.type, wire.cookie, wire.offset, wire.length, 0};
    // With extended headers the flag says that a payload follows, whatever the command; a write has one in any case.
    bool extended = sizeof(Wire) == sizeof(ExtendedRequest);
    if (request.type == CMD_WRITE || (extended && (request.flags & FLAG_PAYLOAD_LEN) != 0))
        request.payload_bytes = request.length;
    return request;
}

// The flags that a command may have, besides FUA, which all may have where it was offered.
unsigned flags_allowed(const Request& request, const Session& session) {
    switch (request.type) {
        case CMD_READ:
            return session.mode == Mode::simple ? 0 : FLAG_DF;
        case CMD_WRITE:
            return session.mode == Mode::extended ? FLAG_PAYLOAD_LEN : 0;
        case CMD_WRITE_ZEROES:
            return FLAG_NO_HOLE | FLAG_FAST_ZERO;
        case CMD_BLOCK_STATUS:
            return FLAG_REQ_ONE;
        default:
            return 0;
    }
}

}  // namespace

std::optional<Request> parse_request(std::span<const std::byte> header, Mode mode) {
    if (mode == Mode::extended) {
        ExtendedRequest wire;
        std::memcpy(&wire, header.data(), sizeof wire);
        if (wire.magic != magic_extended_request) return std::nullopt;
        return from_wire(wire);
    }
    CompactRequest wire;
    std::memcpy(&wire, header.data(), sizeof wire);
    if (wire.magic != magic_request) return std::nullopt;
    return from_wire(wire);
}

int check_request(const Request& request, const Session& session) {
    const Export& exported = *session.exported;
    bool writes = request.type == CMD_WRITE || request.type == CMD_TRIM || request.type == CMD_WRITE_ZEROES;
    if (request.type > CMD_BLOCK_STATUS || request.type == CMD_DISC) return EINVAL;
    if (writes && !exported.writable) return EPERM;
    unsigned allowed = flags_allowed(request, session) | (exported.writable ? FLAG_FUA : 0);
    if ((request.flags & ~allowed) != 0) return EINVAL;
    // FLUSH is about everything; its offset and length are reserved, and must be zero.
    if (request.type == CMD_FLUSH) return exported.writable && request.offset == 0 && request.length == 0 ? 0 : EINVAL;
    if (request.length == 0) return EINVAL;
    if (!range_within(request.offset, request.length, exported.size_bytes()))
        return request.type == CMD_WRITE || request.type == CMD_WRITE_ZEROES ? ENOSPC : EINVAL;
    if ((request.type == CMD_READ || request.type == CMD_WRITE) && request.length > payload_bytes_max) return EINVAL;
    if (request.type == CMD_BLOCK_STATUS && session.contexts.empty()) return EINVAL;
    return 0;
}

uint32_t wire_error(int errno_code) {
    switch (errno_code) {
        case EPERM:
        case EIO:
        case ENOMEM:
        case EINVAL:
        case ENOSPC:
        case EOVERFLOW:
        case ENOTSUP:
        case ESHUTDOWN:
            return static_cast<uint32_t>(errno_code);
        case EDQUOT:
        case EFBIG:
            return ENOSPC;
        case EACCES:
        case EROFS:
            return EPERM;
        default:
            return EIO;
    }
}

}  // namespace hyper::nbd
