// SPDX-License-Identifier: Apache-2.0
#include "blockengine/base/hex.h"

#include <charconv>
#include <cstdint>

namespace hyper {

std::string hex(std::span<const std::byte> bytes) {
    constexpr char digits[] = "0123456789abcdef";
    std::string text;
    text.reserve(2 * bytes.size());
    for (std::byte byte : bytes) {
        text += digits[std::to_integer<unsigned>(byte) >> 4];
        text += digits[std::to_integer<unsigned>(byte) & 15];
    }
    return text;
}

bool parse_hex(std::string_view text, std::span<std::byte> bytes) {
    if (text.size() != 2 * bytes.size()) return false;
    for (size_t i = 0; i < bytes.size(); ++i) {
        uint8_t byte = 0;
        const char *digits = text.data() + 2 * i, *after = digits + 2;
        auto [end, error] = std::from_chars(digits, after, byte, 16);
        if (error != std::errc() || end != after) return false;
        bytes[i] = std::byte{byte};
    }
    return true;
}

}  // namespace hyper
