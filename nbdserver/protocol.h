// SPDX-License-Identifier: Apache-2.0
// The NBD protocol's numbers and messages, under the names that the specification gives them
// (doc/proto.md of github.com/NetworkBlockDevice/nbd). Everything on the wire is big-endian.
#pragma once

#include <cstdint>

#include "blockengine/base/bytes.h"

namespace hyper::nbd {

// Strings of the protocol are at most this long.
inline constexpr size_t string_bytes_max = 4096;
// What a request may carry, or ask to be carried. Clients that do not ask for limits expect this one.
inline constexpr uint32_t payload_bytes_max = 32 << 20;

// Handshake.
inline constexpr uint64_t magic_greeting = 0x4e42444d41474943;  // "NBDMAGIC"
inline constexpr uint64_t magic_option = 0x49484156454F5054;    // "IHAVEOPT"
inline constexpr uint64_t magic_option_reply = 0x3e889045565a9;

enum HandshakeFlag : uint16_t { FIXED_NEWSTYLE = 1 << 0, NO_ZEROES = 1 << 1 };

enum Option : uint32_t {
    OPT_EXPORT_NAME = 1,
    OPT_ABORT = 2,
    OPT_LIST = 3,
    OPT_STARTTLS = 5,
    OPT_INFO = 6,
    OPT_GO = 7,
    OPT_STRUCTURED_REPLY = 8,
    OPT_LIST_META_CONTEXT = 9,
    OPT_SET_META_CONTEXT = 10,
    OPT_EXTENDED_HEADERS = 11,
};

enum OptionReply : uint32_t {
    REP_ACK = 1,
    REP_SERVER = 2,
    REP_INFO = 3,
    REP_META_CONTEXT = 4,
    REP_ERR_UNSUP = 0x80000001,
    REP_ERR_POLICY = 0x80000002,
    REP_ERR_INVALID = 0x80000003,
    REP_ERR_TLS_REQD = 0x80000005,
    REP_ERR_UNKNOWN = 0x80000006,
    REP_ERR_SHUTDOWN = 0x80000007,
    REP_ERR_TOO_BIG = 0x80000009,
    REP_ERR_EXT_HEADER_REQD = 0x8000000a,
};

enum Info : uint16_t { INFO_EXPORT = 0, INFO_NAME = 1, INFO_DESCRIPTION = 2, INFO_BLOCK_SIZE = 3 };

struct Greeting {
    be64 magic = magic_greeting, option_magic = magic_option;
    be16 flags = FIXED_NEWSTYLE | NO_ZEROES;
};
static_assert(sizeof(Greeting) == 18);

struct OptionHeader {
    be64 magic;
    be32 option, length;
};
static_assert(sizeof(OptionHeader) == 16);

struct OptionReplyHeader {
    be64 magic = magic_option_reply;
    be32 option, type, length;
};
static_assert(sizeof(OptionReplyHeader) == 20);

// Transmission.
enum TransmissionFlag : uint16_t {
    HAS_FLAGS = 1 << 0,
    READ_ONLY = 1 << 1,
    SEND_FLUSH = 1 << 2,
    SEND_FUA = 1 << 3,
    SEND_TRIM = 1 << 5,
    SEND_WRITE_ZEROES = 1 << 6,
    SEND_DF = 1 << 7,
    CAN_MULTI_CONN = 1 << 8,
    SEND_CACHE = 1 << 10,
    SEND_FAST_ZERO = 1 << 11,
};

enum Command : uint16_t {
    CMD_READ = 0,
    CMD_WRITE = 1,
    CMD_DISC = 2,
    CMD_FLUSH = 3,
    CMD_TRIM = 4,
    CMD_CACHE = 5,
    CMD_WRITE_ZEROES = 6,
    CMD_BLOCK_STATUS = 7,
};

enum CommandFlag : uint16_t {
    FLAG_FUA = 1 << 0,
    FLAG_NO_HOLE = 1 << 1,
    FLAG_DF = 1 << 2,
    FLAG_REQ_ONE = 1 << 3,
    FLAG_FAST_ZERO = 1 << 4,
    FLAG_PAYLOAD_LEN = 1 << 5,
};

inline constexpr uint32_t magic_request = 0x25609513, magic_extended_request = 0x21e41c71;
inline constexpr uint32_t magic_simple_reply = 0x67446698, magic_chunk = 0x668e33ef, magic_extended_chunk = 0x6e8a278c;

struct CompactRequest {
    be32 magic;
    be16 flags, type;
    be64 cookie, offset;
    be32 length;
};
static_assert(sizeof(CompactRequest) == 28);

struct ExtendedRequest {
    be32 magic;
    be16 flags, type;
    be64 cookie, offset, length;
};
static_assert(sizeof(ExtendedRequest) == 32);

struct SimpleReply {
    be32 magic = magic_simple_reply;
    be32 error;
    be64 cookie;
};
static_assert(sizeof(SimpleReply) == 16);

struct ChunkHeader {
    be32 magic = magic_chunk;
    be16 flags, type;
    be64 cookie;
    be32 length;
};
static_assert(sizeof(ChunkHeader) == 20);

struct ExtendedChunkHeader {
    be32 magic = magic_extended_chunk;
    be16 flags, type;
    be64 cookie, offset, length;
};
static_assert(sizeof(ExtendedChunkHeader) == 32);

inline constexpr uint16_t chunk_done = 1 << 0;

enum ChunkType : uint16_t {
    CHUNK_NONE = 0,
    CHUNK_OFFSET_DATA = 1,
    CHUNK_OFFSET_HOLE = 2,
    CHUNK_BLOCK_STATUS = 5,
    CHUNK_BLOCK_STATUS_EXT = 6,
    CHUNK_ERROR = 0x8001,
    CHUNK_ERROR_OFFSET = 0x8002,
};

// The flags of base:allocation.
inline constexpr uint32_t state_hole = 1 << 0, state_zero = 1 << 1;
// The flag of qemu:dirty-bitmap (QEMU, docs/interop/nbd.txt).
inline constexpr uint32_t state_dirty = 1 << 0;

// The errors that a reply can carry are these errnos' numbers on Linux; everything else becomes EIO, since an error
// that a client does not know reads as EINVAL, which blames the client.
uint32_t wire_error(int errno_code);

}  // namespace hyper::nbd
