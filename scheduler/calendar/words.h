// SPDX-License-Identifier: Apache-2.0
// What the parsers of calendars share: splitting, numbers and names.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace hyper::scheduler {

inline constexpr std::array<std::string_view, 12> month_names{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"};
// 0 is Monday.
inline constexpr std::array<std::string_view, 7> weekday_names{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"};

// At each `separator`; empty parts too.
std::vector<std::string_view> split(std::string_view text, char separator);
// At runs of blanks; no empty parts.
std::vector<std::string_view> split_words(std::string_view text);
// Digits alone, up to 9 of them.
std::optional<int> parse_number(std::string_view text);
// Which of `names` that is, in any case: whole, or its first three letters.
std::optional<int> parse_name(std::string_view text, std::span<const std::string_view> names);

}  // namespace hyper::scheduler
