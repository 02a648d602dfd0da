// SPDX-License-Identifier: Apache-2.0
#include "carbon/feeds/json.h"

#include <cerrno>

namespace hyper::carbon {
namespace {

constexpr size_t shown_max = 64;

std::string shown(const std::string& text) {
    std::string result = text.substr(0, shown_max);
    for (char& c : result)
        if (static_cast<unsigned char>(c) < ' ' || c == 127) c = '?';
    return result;
}

}  // namespace

Result<Json> parse_json(std::string_view text) {
    Json json = Json::parse(text, nullptr, false);
    if (json.is_discarded()) return fail(EBADMSG, "{} bytes that are no JSON", text.size());
    if (!json.is_object()) return fail(EBADMSG, "{} where an object belongs", json.type_name());
    return json;
}

const Json* member(const Json& object, const char* name) {
    if (!object.is_object()) return nullptr;
    auto found = object.find(name);
    return found == object.end() || found->is_null() ? nullptr : &*found;
}

Result<const Json*> array_of(const Json& object, const char* name) {
    const Json* found = member(object, name);
    if (found == nullptr || !found->is_array()) return fail(EBADMSG, "has no list \"{}\"", name);
    return found;
}

Result<const Json*> object_of(const Json& object, const char* name) {
    const Json* found = member(object, name);
    if (found == nullptr || !found->is_object()) return fail(EBADMSG, "has no object \"{}\"", name);
    return found;
}

Result<std::string> text_of(const Json& object, const char* name) {
    const Json* found = member(object, name);
    if (found == nullptr || !found->is_string()) return fail(EBADMSG, "has no text \"{}\"", name);
    return found->get_ref<const std::string&>();
}

Result<Instant> instant_of(const Json& object, const char* name) {
    std::string text = TRY(text_of(object, name));
    auto instant = parse_instant(text);
    if (!instant) return fail(EBADMSG, "{}: \"{}\" is no time", name, shown(text));
    return *instant;
}

Result<std::optional<double>> number_of(const Json& object, const char* name) {
    const Json* found = member(object, name);
    if (found == nullptr) return std::nullopt;
    if (!found->is_number()) return fail(EBADMSG, "{}: {} where a number belongs", name, found->type_name());
    return found->get<double>();
}

Result<void> expect_text(const Json& object, const char* name, std::string_view expected) {
    std::string text = TRY(text_of(object, name));
    if (text != expected) return fail(EBADMSG, "{} is \"{}\" where \"{}\" was asked for", name, shown(text), expected);
    return {};
}

}  // namespace hyper::carbon
