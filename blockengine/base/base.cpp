// SPDX-License-Identifier: Apache-2.0
#include <system_error>

#include "blockengine/base/bytes.h"
#include "blockengine/base/result.h"

namespace hyper {

std::string errno_text(int code) {
    std::string text = std::generic_category().message(code);
    if (!text.empty()) text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
    return text;
}

bool all_zero(std::span<const std::byte> bytes) {
    // Comparing the buffer with itself shifted by one lets memcmp's vector code do the work.
    return bytes.empty() ||
           (bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace hyper
