// SPDX-License-Identifier: Apache-2.0
// XXH3-128, by xxHash, which is included in hash.cpp alone. Not for security: for identity and for finding damage.
#pragma once

#include <array>
#include <cstddef>
#include <span>

namespace hyper {

using Hash128 = std::array<std::byte, 16>;

// The canonical (big-endian) form of XXH3-128 with seed 0.
Hash128 xxh3_128(std::span<const std::byte> bytes);

}  // namespace hyper
