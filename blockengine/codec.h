// SPDX-License-Identifier: Apache-2.0
// Compression, by libdeflate and zstd, which are included in codec.cpp alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "blockengine/base/result.h"

namespace hyper {

enum class Codec : uint8_t {
    deflate,  // RFC 1951, no wrapper: what qcow2 calls zlib
    zlib,     // RFC 1950: VMDK
    zstd,
};

// Unpacks one stream from the start of `in` until `out` is full; bytes of `in` after the stream's end are
// ignored. Errors: EIO for a damaged stream or one that gives less or more than `out` holds. Work is bounded by out.size().
Result<void> unpack(Codec codec, std::span<const std::byte> in, std::span<std::byte> out);

// RFC 1950's checksum. `adler` is 1 for the first bytes.
uint32_t adler32(uint32_t adler, std::span<const std::byte> bytes);

}  // namespace hyper
