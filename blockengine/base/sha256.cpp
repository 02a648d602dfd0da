// SPDX-License-Identifier: Apache-2.0
#include "blockengine/base/sha256.h"

#include <nettle/sha2.h>

#include <cstdint>

namespace hyper {

Sha256 sha256(std::initializer_list<std::span<const std::byte>> parts) {
    sha256_ctx context;
    sha256_init(&context);
    for (std::span<const std::byte> part : parts)
        sha256_update(&context, part.size(), reinterpret_cast<const uint8_t*>(part.data()));
    Sha256 hash;
    static_assert(SHA256_DIGEST_SIZE == sizeof hash);
    sha256_digest(&context, sizeof hash, reinterpret_cast<uint8_t*>(hash.data()));
    return hash;
}

}  // namespace hyper
