// SPDX-License-Identifier: Apache-2.0
// SHA-256, by nettle, which is included in sha256.cpp alone and uses the processor's SHA
// instructions where it has them.
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <span>

namespace hyper {

using Sha256 = std::array<std::byte, 32>;

// Of the parts, one after the other, as if they were one run of bytes. Nothing is copied or
// allocated.
Sha256 sha256(std::initializer_list<std::span<const std::byte>> parts);

}  // namespace hyper
