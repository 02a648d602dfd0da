// SPDX-License-Identifier: Apache-2.0
// Tables of keys: each says of a key what it is called, what it takes, where it goes and what it is for. The reader of the configuration and its
// JSON Schema are both made of them.
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "blockengine/base/setting.h"

namespace hyper::scheduler {

using Schema = nlohmann::ordered_json;

// A kind of value: how its schema says it, and how it is read. What is read goes over what is there, so that a job's keys go over its policy's.
template <class T>
struct Kind {
    Schema schema;
    std::function<Result<void>(const Setting&, T&)> read;
};

// "FILE:LINE: KEY: MESSAGE".
inline tl::unexpected<Error> wrong(const Setting& setting, std::string_view message) {
    return setting.path.empty() ? setting.wrong(message) : setting.wrong(fmt::format("{}: {}", setting.path, message));
}

inline Kind<std::string> text(size_t bytes_max = 4096) {
    return {{{"type", "string"}, {"minLength", 1}, {"maxLength", bytes_max}}, [bytes_max](const Setting& setting, std::string& into) -> Result<void> {
                bool control = setting.text.find_first_of(std::string_view("\0\n\r", 3)) != std::string::npos;
                if (setting.kind != Setting::Kind::text || setting.text.empty() || setting.text.size() > bytes_max || control)
                    return wrong(setting, fmt::format("is a text of 1 to {} bytes, in quotes and on one line", bytes_max));
                into = setting.text;
                return {};
            }};
}

// A text that means something: `pattern` is how the schema says it, parse what decides.
template <class T>
Kind<T> parsed(std::string_view pattern, Result<T> (*parse)(std::string_view)) {
    Kind<std::string> as_text = text();
    as_text.schema["pattern"] = pattern;
    return {as_text.schema, [as_text, parse](const Setting& setting, T& into) -> Result<void> {
                std::string value;
                TRY(as_text.read(setting, value));
                auto made = parse(value);
                if (!made) return wrong(setting, made.error().message);
                into = std::move(*made);
                return {};
            }};
}

template <class T>
Kind<T> integer(int64_t min, int64_t max) {
    return {{{"type", "integer"}, {"minimum", min}, {"maximum", max}}, [min, max](const Setting& setting, T& into) -> Result<void> {
                if (setting.kind != Setting::Kind::integer || setting.integer < min || setting.integer > max)
                    return wrong(setting, fmt::format("is a whole number from {} to {}", min, max));
                into = static_cast<T>(setting.integer);
                return {};
            }};
}

inline Kind<double> number(double min, double max) {
    return {{{"type", "number"}, {"minimum", min}, {"maximum", max}}, [min, max](const Setting& setting, double& into) -> Result<void> {
                bool is_number = setting.kind == Setting::Kind::integer || setting.kind == Setting::Kind::number;
                if (!is_number || setting.number < min || setting.number > max) return wrong(setting, fmt::format("is a number from {} to {}", min, max));
                into = setting.number;
                return {};
            }};
}

inline Kind<bool> boolean() {
    return {{{"type", "boolean"}}, [](const Setting& setting, bool& into) -> Result<void> {
                if (setting.kind != Setting::Kind::boolean) return wrong(setting, "is true or false");
                into = setting.boolean;
                return {};
            }};
}

// One of some words.
template <class T>
Kind<T> choice(std::vector<std::pair<std::string_view, T>> choices) {
    Schema words = Schema::array();
    for (const auto& one : choices) words.push_back(one.first);
    return {{{"enum", words}}, [choices](const Setting& setting, T& into) -> Result<void> {
                std::vector<std::string_view> known;
                for (const auto& one : choices) {
                    if (setting.kind == Setting::Kind::text && setting.text == one.first) {
                        into = one.second;
                        return {};
                    }
                    known.push_back(one.first);
                }
                if (setting.kind == Setting::Kind::text)
                    return wrong(setting, fmt::format("\"{}\" is not known; did you mean {}?", setting.text.substr(0, 64), nearest(setting.text, known)));
                return wrong(setting, fmt::format("is one of {}", fmt::join(known, ", ")));
            }};
}

template <class T>
Kind<std::optional<T>> optional(Kind<T> kind) {
    return {kind.schema, [kind](const Setting& setting, std::optional<T>& into) -> Result<void> {
                if (!into) into.emplace();
                return kind.read(setting, *into);
            }};
}

// A list replaces what is there.
template <class T>
Kind<std::vector<T>> list(Kind<T> kind, size_t count_max = 1000, size_t count_min = 0) {
    return {{{"type", "array"}, {"items", kind.schema}, {"minItems", count_min}, {"maxItems", count_max}},
            [kind, count_max, count_min](const Setting& setting, std::vector<T>& into) -> Result<void> {
                if (setting.kind != Setting::Kind::list || setting.list.size() > count_max || setting.list.size() < count_min)
                    return wrong(setting, fmt::format("is a list, in [ ], of {} to {}", count_min, count_max));
                into.clear();
                for (const Setting& element : setting.list) TRY(kind.read(element, into.emplace_back()));
                return {};
            }};
}

// Tables by names that the user gives.
inline constexpr std::string_view name_pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$";
Result<void> check_name(const Setting& setting, std::string_view name);

template <class T>
Kind<std::map<std::string, T>> named(Kind<T> kind) {
    return {{{"type", "object"}, {"propertyNames", {{"pattern", name_pattern}}}, {"additionalProperties", kind.schema}},
            [kind](const Setting& setting, std::map<std::string, T>& into) -> Result<void> {
                if (setting.kind != Setting::Kind::table) return wrong(setting, "is a table of tables, as [" + setting.path + ".NAME]");
                for (const auto& entry : setting.table) {
                    TRY(check_name(entry.second, entry.first));
                    TRY(kind.read(entry.second, into[entry.first]));
                }
                return {};
            }};
}

// The keys of a table that is read into a T. They are read in the order in which they stand here.
template <class T>
class Keys {
  public:
    template <class M>
    Keys& key(std::string_view name, M T::*member, Kind<M> kind, std::string_view help, bool required = false) {
        return add(name, kind.schema, help, required, [kind, member](const Setting& setting, T& into) { return kind.read(setting, into.*member); });
    }
    // A table below this one whose keys go into the same T.
    Keys& group(std::string_view name, const Keys& keys, std::string_view help) {
        Kind<T> kind = keys.kind();
        return add(name, kind.schema, help, false, kind.read);
    }
    // All keys of another table, into a member.
    template <class M>
    Keys& all(M T::*member, const Keys<M>& keys) {
        for (const auto& entry : keys.entries_) {
            auto read = entry.read;
            add(entry.name, entry.schema, "", entry.required, [read, member](const Setting& setting, T& into) { return read(setting, into.*member); });
        }
        return *this;
    }

    Schema schema() const {
        Schema properties = Schema::object(), required = Schema::array();
        for (const Entry& entry : entries_) {
            properties[entry.name] = entry.schema;
            if (entry.required) required.push_back(entry.name);
        }
        Schema made = {{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
        if (!required.empty()) made["required"] = required;
        return made;
    }

    Kind<T> kind() const {
        Keys keys = *this;
        return {schema(), [keys](const Setting& setting, T& into) { return keys.read(setting, into); }};
    }

    Result<void> read(const Setting& setting, T& into) const {
        if (setting.kind != Setting::Kind::table) return wrong(setting, "is a table: {key = value}");
        std::vector<std::string_view> known;
        for (const Entry& entry : entries_) known.push_back(entry.name);
        TRY(check_keys(setting, known));
        for (const Entry& entry : entries_) {
            if (const Setting* value = setting.find(entry.name))
                TRY(entry.read(*value, into));
            else if (entry.required)
                return wrong(setting, fmt::format("needs {}", entry.name));
        }
        return {};
    }

  private:
    template <class>
    friend class Keys;
    struct Entry {
        std::string name;
        Schema schema;
        bool required = false;
        std::function<Result<void>(const Setting&, T&)> read;
    };

    Keys& add(std::string_view name, Schema schema, std::string_view help, bool required, std::function<Result<void>(const Setting&, T&)> read) {
        if (!help.empty()) schema["description"] = help;
        entries_.push_back({std::string(name), std::move(schema), required, std::move(read)});
        return *this;
    }

    std::vector<Entry> entries_;
};

}  // namespace hyper::scheduler
