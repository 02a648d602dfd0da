// SPDX-License-Identifier: Apache-2.0
// What configuration files are made of, as a tree that knows its lines. toml++ is included in setting_toml.cpp alone, and JSON that stands for
// the same (a job that comes over the API) is read by setting_json.cpp, so that both meet the same reader.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "blockengine/base/result.h"

namespace hyper {

struct SettingEntry;

struct Setting {
    enum class Kind { text, integer, number, boolean, list, table, other };  // other: a date, JSON's null

    Kind kind = Kind::other;
    std::string text;
    int64_t integer = 0;
    double number = 0;  // of an integer, too
    bool boolean = false;
    std::vector<Setting> list;
    std::vector<SettingEntry> table;  // by name

    std::string path;                         // "jobs.db.retry.max"; empty at the top
    std::shared_ptr<const std::string> file;  // as messages name it
    unsigned line = 0, key_line = 0;          // from 1; 0 where not known

    const Setting* find(std::string_view key) const;
    // EINVAL, "FILE:LINE: MESSAGE".
    tl::unexpected<Error> wrong(std::string_view message) const;
};

// As a map's entry: a key and its value.
struct SettingEntry {
    std::string first;
    Setting second;
};

// EINVAL with file and line for what is no TOML; `name` stands in messages.
Result<Setting> parse_toml(std::string_view text, const std::string& name);
// The same of JSON, which is nested 32 deep at most.
Result<Setting> parse_json_setting(std::string_view text, const std::string& name);

// EINVAL for the first key of the table that is none of `known`, with the one that is spelt most like it.
Result<void> check_keys(const Setting& table, std::span<const std::string_view> known);
// The one that is spelt most like it.
std::string_view nearest(std::string_view word, std::span<const std::string_view> known);

}  // namespace hyper
