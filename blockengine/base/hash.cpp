// SPDX-License-Identifier: Apache-2.0
#include "blockengine/base/hash.h"

#include <xxhash.h>

#include <cstring>

namespace hyper {

Hash128 xxh3_128(std::span<const std::byte> bytes) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
    Hash128 hash;
    static_assert(sizeof canonical == sizeof hash);
    std::memcpy(hash.data(), &canonical, sizeof hash);
    return hash;
}

}  // namespace hyper
