// SPDX-License-Identifier: Apache-2.0
// Bytes as hexadecimal digits: hashes and ids, for people and in texts that are kept.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace hyper {

// Two small digits a byte, the first byte first, as sha256sum and xxhsum print hashes.
std::string hex(std::span<const std::byte> bytes);

// Into all of `bytes`; capitals are taken, too. False for any other text, also for one that is longer or shorter; then `bytes` are undefined.
bool parse_hex(std::string_view text, std::span<std::byte> bytes);

}  // namespace hyper
