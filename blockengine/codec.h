// SPDX-License-Identifier: Apache-2.0
// Compression, by libdeflate and zstd, which are included in codec.cpp alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "blockengine/base/result.h"

namespace hyper {

enum class Codec : uint8_t {
    deflate,  // RFC 1951, no wrapper: what qcow2 calls zlib
    zlib,     // RFC 1950: VMDK
    zstd,
    plain,    // stored as it is
};

// Unpacks one stream from the start of `in` until `out` is full; bytes of `in` after the stream's end are
// ignored. Errors: EIO for a damaged stream or one that gives less or more than `out` holds. Work is bounded by out.size().
Result<void> unpack(Codec codec, std::span<const std::byte> in, std::span<std::byte> out);

// Packs all of `in` into one stream at the start of `out`: the bytes it takes, or nothing where it does not fit (zstd may
// want some bytes more than it then uses) or memory is short. So the size of `out` says what still pays.
// `codec` is zstd, `level` one of its levels, 1 to 19.
std::optional<size_t> pack(Codec codec, int level, std::span<const std::byte> in, std::span<std::byte> out);

// What a stream says of its own length, unpacked; nothing where it does not say, or is damaged. `codec` is zstd.
std::optional<uint64_t> unpacked_bytes(Codec codec, std::span<const std::byte> in);

// RFC 1950's checksum. `adler` is 1 for the first bytes.
uint32_t adler32(uint32_t adler, std::span<const std::byte> bytes);

}  // namespace hyper
