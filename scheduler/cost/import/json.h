// SPDX-License-Identifier: Apache-2.0
// JSON as vendors publish their prices in it: files of many gigabytes, numbers that are money. nlohmann's parser is included in json.cpp alone. Numbers stay
// the text that was written, so that a price is never a floating-point number on its way. Input is hostile: depth, length of a text and size of a tree
// are bounded.
#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <string_view>
#include <vector>

#include "blockengine/base/result.h"

namespace hyper::scheduler {

enum class JsonKind : uint8_t { null, boolean, number, text, array, object };

// What a reading meets, in order. The first that gives an error ends it.
class JsonEvents {
  public:
    virtual ~JsonEvents() = default;
    virtual Result<void> begin(JsonKind kind) = 0;  // array or object
    virtual Result<void> name(std::string& name) = 0;  // of what comes next; may be moved from
    virtual Result<void> end() = 0;
    virtual Result<void> value(JsonKind kind, std::string& text) = 0;  // "true", "0.0125", ...; may be moved from
};

// Holds nothing but what is being read. EINVAL with `file` and where it stopped, for what is no JSON, is deeper than 64, or has a text of more than 1 MiB.
Result<void> read_json(std::istream& in, std::string_view file, JsonEvents& events);

// A small document as a whole.
struct JsonValue {
    JsonKind kind = JsonKind::null;
    std::string text;                // of a value
    std::vector<std::string> names;  // of an object: as many as items
    std::vector<JsonValue> items;

    // nullptr where it has no such member.
    const JsonValue* find(std::string_view name) const;
    // Of a member that is a text, a number or a boolean; "" for any other, and where there is none.
    const std::string& text_of(std::string_view name) const;
};

// EFBIG above two million values, besides the errors of read_json().
Result<JsonValue> read_json_tree(std::istream& in, std::string_view file);

}  // namespace hyper::scheduler
