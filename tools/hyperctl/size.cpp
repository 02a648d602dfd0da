// SPDX-License-Identifier: Apache-2.0
#include "tools/hyperctl/size.h"

#include <cerrno>
#include <optional>
#include <string_view>

#include "blockengine/base/bytes.h"

namespace hyper::ctl {

Result<uint64_t> parse_size(const std::string& text) {
    constexpr std::string_view units = "KMGT";
    uint64_t value = 0;
    size_t digits = 0;
    for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '9' && digits < 15; ++digits)
        value = value * 10 + static_cast<uint64_t>(text[digits] - '0');
    std::string_view rest = std::string_view(text).substr(digits);
    size_t unit = rest.size() == 1 ? units.find(static_cast<char>(rest[0] & ~0x20)) : std::string_view::npos;
    if (digits == 0 || (!rest.empty() && unit == std::string_view::npos))
        return fail(EINVAL, "\"{}\" is not a size (try 64K or 2M)", text);
    std::optional<uint64_t> bytes = value;
    for (size_t i = 0; !rest.empty() && i <= unit && bytes; ++i) bytes = checked_multiply(*bytes, 1024);
    if (!bytes) return fail(EINVAL, "{}: the size is too large", text);
    return *bytes;
}

}  // namespace hyper::ctl
