// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "convert/vhdx/tables.h"

namespace hyper::vhdx {

namespace {

constexpr size_t pairs_max = 64;  // five are defined

// nullopt for what is not UTF-16LE.
std::optional<std::string> utf8_of_utf16(std::span<const std::byte> bytes) {
    if (bytes.size() % 2 != 0) return std::nullopt;
    std::string text;
    auto put = [&](uint32_t byte) { text += static_cast<char>(byte); };
    for (size_t i = 0; i < bytes.size(); i += 2) {
        uint32_t c = load_le<uint16_t>(bytes.data() + i);
        if (c >= 0xd800 && c < 0xe000) {
            if (c >= 0xdc00 || bytes.size() - i < 4) return std::nullopt;
            uint32_t low = load_le<uint16_t>(bytes.data() + (i += 2));
            if (low < 0xdc00 || low >= 0xe000) return std::nullopt;
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
            put(0xf0 | c >> 18);
            put(0x80 | (c >> 12 & 0x3f));
            put(0x80 | (c >> 6 & 0x3f));
            put(0x80 | (c & 0x3f));
        } else if (c >= 0x800) {
            put(0xe0 | c >> 12);
            put(0x80 | (c >> 6 & 0x3f));
            put(0x80 | (c & 0x3f));
        } else if (c >= 0x80) {
            put(0xc0 | c >> 6);
            put(0x80 | (c & 0x3f));
        } else {
            put(c);
        }
    }
    return text;
}

}  // namespace

std::optional<std::string> ParentLocator::value(std::string_view key) const {
    for (auto& [name, value] : pairs)
        if (name == key) return value;
    return std::nullopt;
}

Result<ParentLocator> parse_parent_locator(const std::string& name, std::span<const std::byte> item) {
    ParentLocator locator;
    if (item.size() < sizeof(ParentLocatorHeader))
        return fail(EINVAL, "{}: parent locator: {} bytes are too few", name, item.size());
    auto header = load<ParentLocatorHeader>(item.data());
    if (header.type != vhdx_parent_locator)
        return fail(ENOTSUP, "{}: parent locator: type {} is unknown", name, guid_text(header.type));
    size_t count = header.key_value_count;
    if (count > pairs_max || sizeof header + count * sizeof(ParentLocatorEntry) > item.size())
        return fail(EINVAL, "{}: parent locator: {} entries are too many", name, count);
    for (size_t i = 0; i < count; ++i) {
        auto entry = load<ParentLocatorEntry>(item.data() + sizeof header + i * sizeof(ParentLocatorEntry));
        if (!range_within(entry.key_offset, entry.key_length, item.size()) ||
            !range_within(entry.value_offset, entry.value_length, item.size()))
            return fail(EINVAL, "{}: parent locator: entry {} lies outside the item of {} bytes", name, i, item.size());
        auto key = utf8_of_utf16(item.subspan(entry.key_offset, entry.key_length));
        auto value = utf8_of_utf16(item.subspan(entry.value_offset, entry.value_length));
        if (!key || !value) return fail(EINVAL, "{}: parent locator: entry {} is not UTF-16", name, i);
        locator.pairs.emplace_back(std::move(*key), std::move(*value));
    }
    return locator;
}

}  // namespace hyper::vhdx
