// SPDX-License-Identifier: Apache-2.0
#include "convert/vhd/parent.h"

#include <algorithm>
#include <cerrno>
#include <cctype>
#include <optional>

#include "convert/vhd/footer.h"

namespace hyper::vhd {

namespace {

constexpr uint32_t locator_bytes_max = 64 * KiB;  // Windows' longest path

void append_utf8(std::string& text, uint32_t code) {
    auto put = [&text](uint32_t byte) { text += static_cast<char>(byte); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xc0 | code >> 6);
        put(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        put(0xe0 | code >> 12);
        put(0x80 | (code >> 6 & 0x3f));
        put(0x80 | (code & 0x3f));
    } else {
        put(0xf0 | code >> 18);
        put(0x80 | (code >> 12 & 0x3f));
        put(0x80 | (code >> 6 & 0x3f));
        put(0x80 | (code & 0x3f));
    }
}

// Up to the first NUL. nullopt for a surrogate without its other half.
std::optional<std::string> utf8_of(const std::vector<uint16_t>& units) {
    std::string text;
    for (size_t i = 0; i < units.size() && units[i] != 0; ++i) {
        uint32_t code = units[i];
        if (code >= 0xdc00 && code < 0xe000) return std::nullopt;
        if (code >= 0xd800 && code < 0xdc00) {
            if (++i == units.size() || units[i] < 0xdc00 || units[i] >= 0xe000) return std::nullopt;
            code = 0x10000 + ((code - 0xd800) << 10) + (units[i] - 0xdc00);
        }
        append_utf8(text, code);
    }
    return text;
}

// A Windows path in our terms. A drive means nothing here: such a file is looked for beside the image.
std::string plain_name(std::string name) {
    std::ranges::replace(name, '\\', '/');
    if (name.size() > 2 && std::isalpha(static_cast<unsigned char>(name[0])) && name[1] == ':' && name[2] == '/')
        name.erase(0, name.rfind('/') + 1);
    return name;
}

void add_name(std::vector<ParentName>& names, std::string field, const std::vector<uint16_t>& units) {
    if (auto text = utf8_of(units); text && !text->empty())
        names.push_back({std::move(field), plain_name(std::move(*text))});
}

Result<void> add_locators(std::vector<ParentName>& names, const File& file, const DynamicHeader& header, Tag code) {
    for (size_t i = 0; i < header.parent_locators.size(); ++i) {
        const ParentLocator& locator = header.parent_locators[i];
        if (locator.platform_code != code) continue;
        std::string field = fmt::format("parent locator {} ({})", i, tag_text(code));
        uint32_t length = locator.data_length;
        if (length > locator_bytes_max)
            return fail(EINVAL, "{}: {}: data length {} is more than {}", file.path(), field, length,
                        locator_bytes_max);
        if (!range_within(locator.data_offset, length, file.size_bytes()))
            return fail(EINVAL, "{}: {}: data offset {} leads past the end of the file", file.path(), field,
                        uint64_t{locator.data_offset});
        std::vector<uint16_t> units(length / 2);
        TRY(file.read(locator.data_offset, std::as_writable_bytes(std::span(units))));
        add_name(names, std::move(field), units);
    }
    return {};
}

}  // namespace

Result<std::vector<ParentName>> parent_names(const File& file, const DynamicHeader& header) {
    std::vector<ParentName> names;
    TRY(add_locators(names, file, header, {'W', '2', 'r', 'u'}));
    TRY(add_locators(names, file, header, {'W', '2', 'k', 'u'}));
    add_name(names, "parent unicode name", {header.parent_name.begin(), header.parent_name.end()});
    return names;
}

Result<std::shared_ptr<const File>> open_parent_file(Opening& opening, const File& file,
                                                     const DynamicHeader& header) {
    std::vector<ParentName> names = TRY(parent_names(file, header));
    std::optional<Error> first;
    for (const ParentName& name : names) {
        auto parent = opening.open_reference(file, name.field, name.name);
        if (parent) return parent;
        if (parent.error().code != ENOENT && parent.error().code != EPERM) return parent;
        if (!first) first = parent.error();
    }
    if (first) return tl::unexpected(*first);
    return fail(EINVAL, "{}: a differencing disk that names no parent", file.path());
}

}  // namespace hyper::vhd
