// SPDX-License-Identifier: Apache-2.0
#include "blockengine/base/setting.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace hyper {
namespace {

// How many letters must change (Levenshtein).
size_t distance(std::string_view a, std::string_view b) {
    std::vector<size_t> row(b.size() + 1);
    for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (size_t i = 0; i < a.size(); ++i) {
        size_t diagonal = std::exchange(row[0], i + 1);
        for (size_t j = 0; j < b.size(); ++j) {
            size_t replaced = diagonal + (a[i] != b[j]);
            diagonal = row[j + 1];
            row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
        }
    }
    return row.back();
}

// No word that anybody means is longer; bounds the time of distance().
constexpr size_t word_bytes_max = 64;

}  // namespace

const Setting* Setting::find(std::string_view key) const {
    for (const auto& entry : table)
        if (entry.first == key) return &entry.second;
    return nullptr;
}

tl::unexpected<Error> Setting::wrong(std::string_view message) const {
    if (line == 0) return fail(EINVAL, "{}: {}", *file, message);
    return fail(EINVAL, "{}:{}: {}", *file, line, message);
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> known) {
    word = word.substr(0, word_bytes_max);
    return *std::min_element(known.begin(), known.end(), [&](auto a, auto b) { return distance(word, a) < distance(word, b); });
}

Result<void> check_keys(const Setting& table, std::span<const std::string_view> known) {
    for (const auto& entry : table.table) {
        if (std::find(known.begin(), known.end(), entry.first) != known.end()) continue;
        Setting at;
        at.file = table.file, at.line = entry.second.key_line;
        return at.wrong(fmt::format("unknown key {}; did you mean {}?", entry.second.path, nearest(entry.first, known)));
    }
    return {};
}

}  // namespace hyper
