// SPDX-License-Identifier: Apache-2.0
// The heads of replies, in all three modes. A head is what precedes a reply's data: at most reply_head_bytes_max bytes.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>

#include "nbdserver/handshake.h"
#include "nbdserver/protocol.h"
#include "nbdserver/request.h"

namespace hyper::nbd {

inline constexpr size_t reply_head_bytes_max = 64;

class ReplyHead {
  public:
    std::span<const std::byte> bytes() const { return {bytes_.data(), size_}; }

    template <class T>
    void append(const T& wire) {
        static_assert(alignof(T) == 1, "wire types only");
        std::memcpy(bytes_.data() + size_, &wire, sizeof wire);
        size_ += sizeof wire;
    }

  private:
    std::array<std::byte, reply_head_bytes_max> bytes_;
    size_t size_ = 0;
};

// The head of a chunk whose payload of `payload_bytes` follows, of which the caller may append the first bytes to the head.
inline ReplyHead chunk_head(Mode mode, const Request& request, ChunkType type, bool done, uint64_t payload_bytes) {
    ReplyHead head;
    uint16_t flags = done ? chunk_done : 0;
    if (mode == Mode::extended) {
        ExtendedChunkHeader wire;
        wire.flags = flags;
        wire.type = type;
        wire.cookie = request.cookie;
        wire.offset = request.offset;
        wire.length = payload_bytes;
        head.append(wire);
    } else {
        ChunkHeader wire;
        wire.flags = flags;
        wire.type = type;
        wire.cookie = request.cookie;
        wire.length = static_cast<uint32_t>(payload_bytes);
        head.append(wire);
    }
    return head;
}

// `length` bytes of data at `offset` follow.
inline ReplyHead data_head(Mode mode, const Request& request, uint64_t offset, uint64_t length, bool done) {
    if (mode == Mode::simple) {
        SimpleReply wire;
        wire.error = 0;
        wire.cookie = request.cookie;
        ReplyHead head;
        head.append(wire);
        return head;
    }
    ReplyHead head = chunk_head(mode, request, CHUNK_OFFSET_DATA, done, sizeof(be64) + length);
    head.append(be64(offset));
    return head;
}

// Zeros; not for Mode::simple. `length` below 4 GiB.
inline ReplyHead hole_head(Mode mode, const Request& request, uint64_t offset, uint32_t length, bool done) {
    ReplyHead head = chunk_head(mode, request, CHUNK_OFFSET_HOLE, done, sizeof(be64) + sizeof(be32));
    head.append(be64(offset));
    head.append(be32(length));
    return head;
}

// Success without data (error 0), or an error, which is an errno: the only chunk of its reply.
inline ReplyHead status_head(Mode mode, const Request& request, int error) {
    if (mode == Mode::simple) {
        SimpleReply wire;
        wire.error = error == 0 ? 0 : wire_error(error);
        wire.cookie = request.cookie;
        ReplyHead head;
        head.append(wire);
        return head;
    }
    if (error == 0) return chunk_head(mode, request, CHUNK_NONE, true, 0);
    ReplyHead head = chunk_head(mode, request, CHUNK_ERROR, true, sizeof(be32) + sizeof(be16));
    head.append(be32(wire_error(error)));
    head.append(be16(0));
    return head;
}

// A part of a read that failed, at `offset`: one of several chunks, but for Mode::simple.
inline ReplyHead read_error_head(Mode mode, const Request& request, uint64_t offset, int error, bool done) {
    if (mode == Mode::simple) return status_head(mode, request, error);
    ReplyHead head = chunk_head(mode, request, CHUNK_ERROR_OFFSET, done, sizeof(be32) + sizeof(be16) + sizeof(be64));
    head.append(be32(wire_error(error)));
    head.append(be16(0));
    head.append(be64(offset));
    return head;
}

}  // namespace hyper::nbd
