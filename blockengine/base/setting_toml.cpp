// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <cmath>

#include "blockengine/base/setting.h"

// toml++ 3.3 asserts on some malformed files, where an error is due: so its assertions throw, as its other errors do, in every kind of build.
namespace hyper {
namespace {
struct BrokenToml {};
constexpr void assert_toml(bool holds) {
    if (!holds) throw BrokenToml();
}
}  // namespace
}  // namespace hyper
#pragma push_macro("NDEBUG")
#undef NDEBUG
#define TOML_MAX_NESTED_VALUES 16
#define TOML_ASSERT(...) ::hyper::assert_toml(static_cast<bool>(__VA_ARGS__))
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")

namespace hyper {
namespace {

// toml++ recurses, and so do we. It bounds how deep values are nested, but not how many names a dotted key has; that is at most a line's dots.
constexpr size_t dots_a_line_max = 250;
bool has_too_many_dots(std::string_view text) {
    size_t dots = 0;
    for (char c : text) {
        dots = c == '\n' ? 0 : dots + (c == '.');
        if (dots > dots_a_line_max) return true;
    }
    return false;
}

Setting setting_of(const toml::node& node, std::string path, const std::shared_ptr<const std::string>& file) {
    Setting made;
    made.file = file;
    made.line = made.key_line = node.source().begin.line;
    if (const auto* text = node.as_string()) {
        made.kind = Setting::Kind::text;
        made.text = text->get();
    } else if (const auto* integer = node.as_integer()) {
        made.kind = Setting::Kind::integer;
        made.integer = integer->get();
        made.number = double(made.integer);
    } else if (const auto* number = node.as_floating_point()) {
        made.kind = std::isfinite(number->get()) ? Setting::Kind::number : Setting::Kind::other;
        made.number = number->get();
    } else if (const auto* boolean = node.as_boolean()) {
        made.kind = Setting::Kind::boolean;
        made.boolean = boolean->get();
    } else if (const auto* list = node.as_array()) {
        made.kind = Setting::Kind::list;
        // An element goes by its list's name, as people call it.
        for (const toml::node& element : *list) made.list.push_back(setting_of(element, path, file));
    } else if (const auto* table = node.as_table()) {
        made.kind = Setting::Kind::table;
        for (const auto& [key, value] : *table) {
            std::string name(key.str());
            Setting child = setting_of(value, path.empty() ? name : path + "." + name, file);
            child.key_line = key.source().begin.line;
            made.table.push_back({std::move(name), std::move(child)});
        }
    }
    made.path = std::move(path);
    return made;
}

}  // namespace

Result<Setting> parse_toml(std::string_view text, const std::string& name) {
    if (has_too_many_dots(text)) return fail(EINVAL, "{}: a line has more than {} dots; break it", name, dots_a_line_max);
    try {
        return setting_of(toml::parse(text, name), "", std::make_shared<const std::string>(name));
    } catch (const toml::parse_error& error) {
        return fail(EINVAL, "{}:{}: {}", name, error.source().begin.line, error.description());
    } catch (const BrokenToml&) {
        return fail(EINVAL, "{}: this is no TOML", name);
    }
}

}  // namespace hyper
