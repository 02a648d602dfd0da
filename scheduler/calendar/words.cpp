// SPDX-License-Identifier: Apache-2.0
#include "scheduler/calendar/words.h"

#include <algorithm>
#include <cctype>

namespace hyper::scheduler {

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    while (true) {
        size_t at = text.find(separator);
        parts.push_back(text.substr(0, at));
        if (at == std::string_view::npos) return parts;
        text.remove_prefix(at + 1);
    }
}

std::vector<std::string_view> split_words(std::string_view text) {
    std::vector<std::string_view> words;
    while (true) {
        size_t from = text.find_first_not_of(" \t");
        if (from == std::string_view::npos) return words;
        text.remove_prefix(from);
        size_t length = std::min(text.find_first_of(" \t"), text.size());
        words.push_back(text.substr(0, length));
        text.remove_prefix(length);
    }
}

std::optional<int> parse_number(std::string_view text) {
    if (text.empty() || text.size() > 9) return std::nullopt;
    int number = 0;
    for (char c : text) {
        if (c < '0' || c > '9') return std::nullopt;
        number = number * 10 + (c - '0');
    }
    return number;
}

std::optional<int> parse_name(std::string_view text, std::span<const std::string_view> names) {
    auto equal = [&](std::string_view name) {
        return std::equal(text.begin(), text.end(), name.begin(), name.end(),
                          [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; });
    };
    for (size_t i = 0; i < names.size(); i++)
        if (equal(names[i]) || equal(names[i].substr(0, 3))) return int(i);
    return std::nullopt;
}

}  // namespace hyper::scheduler
