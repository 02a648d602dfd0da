// SPDX-License-Identifier: Apache-2.0
// CRC-32C (Castagnoli), as RFC 3720 appendix B.4 defines it. VHDX seals its headers, region tables and log with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace hyper {

// Of `bytes`, or continued: crc32c(b, crc32c(a)) is that of a and b together.
uint32_t crc32c(std::span<const std::byte> bytes, uint32_t before = 0);

}  // namespace hyper
