// SPDX-License-Identifier: Apache-2.0
#include "http/message.h"

#include <fmt/format.h>

#include <cctype>

namespace hyper::http {

namespace {

std::optional<std::string_view> find(const Fields& fields, std::string_view name) {
    for (const auto& field : fields)
        if (field.first == name) return field.second;
    return std::nullopt;
}

}  // namespace

std::optional<std::string_view> Request::header(std::string_view name) const { return find(headers, name); }
std::optional<std::string_view> Request::parameter(std::string_view name) const { return find(parameters, name); }

std::string path_text(std::string_view text) {
    std::string path;
    for (unsigned char c : text) {
        bool plain = (c < 0x80 && std::isalnum(c)) || std::string_view("-._~/").find(static_cast<char>(c)) != std::string_view::npos;
        path += plain ? std::string(1, static_cast<char>(c)) : fmt::format("%{:02X}", c);
    }
    return path;
}

}  // namespace hyper::http
