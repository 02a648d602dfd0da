// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/router.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace hyper::hyperd {

namespace {

std::optional<uint64_t> number_of(std::string_view text) {
    uint64_t value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

std::vector<std::string_view> segments_of(std::string_view path) {
    std::vector<std::string_view> parts;
    for (size_t at = 0; at < path.size();) {
        size_t slash = std::min(path.find('/', at + 1), path.size());
        parts.push_back(path.substr(at + 1, slash - at - 1));
        at = slash;
    }
    return parts;
}

// The values of {NAME}s where `path` is such a path.
std::optional<std::map<std::string, std::string>> match(std::string_view pattern, std::string_view path) {
    auto wanted = segments_of(pattern), given = segments_of(path);
    if (wanted.size() != given.size()) return std::nullopt;
    std::map<std::string, std::string> values;
    for (size_t i = 0; i < wanted.size(); ++i) {
        if (wanted[i].starts_with('{'))
            values.emplace(wanted[i].substr(1, wanted[i].size() - 2), given[i]);
        else if (wanted[i] != given[i])
            return std::nullopt;
    }
    return values;
}

// What is nested deeper than anything that we take would be a deep recursion in whatever looks at it.
bool nested_within_bounds(std::string_view json) {
    constexpr int depth_max = 32;
    int depth = 0;
    bool in_text = false;
    for (size_t i = 0; i < json.size(); ++i) {
        if (in_text && json[i] == '\\') ++i;
        else if (json[i] == '"') in_text = !in_text;
        else if (!in_text && (json[i] == '[' || json[i] == '{') && ++depth > depth_max) return false;
        else if (!in_text && (json[i] == ']' || json[i] == '}')) --depth;
    }
    return true;
}

std::optional<http::Answer> wrong_query(const Route& route, const http::Request& request) {
    for (const auto& [name, value] : request.parameters) {
        auto known = std::ranges::find_if(route.parameters, [&](const Parameter& one) { return one.in == "query" && one.name == name; });
        if (known == route.parameters.end()) return problem(422, fmt::format("{} has no parameter \"{}\"", route.path, name), {"query." + name, Json(value)});
        auto number = number_of(value);
        if (known->number_max > 0 && (!number || *number > known->number_max))
            return problem(422, fmt::format("{} must be a whole number up to {}", name, known->number_max), {"query." + name, Json(value)});
    }
    return std::nullopt;
}

}  // namespace

uint64_t Call::number(const std::string& name, uint64_t otherwise) const {
    auto text = request.parameter(name);
    return text ? number_of(*text).value_or(otherwise) : otherwise;
}

http::Answer Router::answer(const http::Request& request, const Caller& caller) const {
    std::string allowed;
    for (const Route& route : routes_) {
        auto values = match(route.path, request.path);
        if (!values) continue;
        if (route.method != request.method) {
            allowed += (allowed.empty() ? "" : ", ") + route.method;
            continue;
        }
        if (!caller.may(route.scope))
            return problem(403, fmt::format("{} may not do this: its token lacks the scope \"{}\"", caller.name, scope_name(route.scope)), {"scope", scope_name(route.scope)});
        if (auto wrong = wrong_query(route, request)) return std::move(*wrong);
        Call call{request, caller, std::move(*values)};
        if (!route.body.empty()) {
            if (nested_within_bounds(request.body)) call.body = Json::parse(request.body, nullptr, false);
            if (!call.body.is_object()) return problem(422, "the body is no JSON object", {"body", nullptr});
        } else if (!request.body.empty() && request.body.find_first_not_of(" \t\r\n{}") != std::string::npos) {
            return problem(422, "nothing is to be said in a body here", {"body", nullptr});
        }
        return route.handler(call);
    }
    if (allowed.empty()) return problem(404, fmt::format("{}: there is no such path (see /openapi.json)", request.path));
    auto answer = problem(405, fmt::format("only {} is possible here", allowed));
    answer.headers.emplace_back("Allow", allowed);
    return answer;
}

}  // namespace hyper::hyperd
