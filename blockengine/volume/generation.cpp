// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/generation.h"

#include <cerrno>
#include <charconv>
#include <ctime>
#include <nlohmann/json.hpp>

#include "blockengine/base/hex.h"
#include "blockengine/volume/companions.h"

namespace hyper {

namespace {

std::string span_of(const std::vector<Generation>& all) {
    if (all.empty()) return "it has none yet";
    return fmt::format("it has {} from {} ({}) to {} ({})", all.size(), all.front().number, utc_text(all.front().time),
                       all.back().number, utc_text(all.back().time));
}

bool take_companions(const nlohmann::json& json, std::vector<Companion>& companions) {
    if (!json.is_array() || json.size() > companions_max) return false;
    for (const auto& one : json) {
        Companion companion;
        bool fits = one.is_object() && one.contains("name") && one["name"].is_string() && one.contains("size") && one["size"].is_number_unsigned() &&
                    one.contains("sha256") && one["sha256"].is_string() && parse_hex(one["sha256"].get<std::string>(), companion.hash);
        if (!fits) return false;
        companion.name = one["name"];
        companion.size_bytes = one["size"];
        if (!is_companion_name(companion.name) || companion.size_bytes > companion_bytes_max) return false;
        companions.push_back(std::move(companion));
    }
    return true;
}

}  // namespace

std::string utc_text(int64_t time) {
    std::tm parts{};
    time_t seconds = time;
    ::gmtime_r(&seconds, &parts);
    char text[40];
    return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

std::optional<int64_t> parse_utc(std::string_view text) {
    std::string all(text);
    if (all.ends_with('Z')) all.pop_back();
    for (auto [format, rest_seconds] : {std::pair{"%Y-%m-%dT%H:%M:%S", 0}, {"%Y-%m-%dT%H:%M", 0}, {"%Y-%m-%d", 86399}}) {
        std::tm parts{};
        const char* end = ::strptime(all.c_str(), format, &parts);
        if (end != nullptr && *end == '\0') return ::timegm(&parts) + rest_seconds;
    }
    return std::nullopt;
}

std::string Generation::to_json() const {
    nlohmann::ordered_json json{{"number", number},
                                {"size", size_bytes},
                                {"time", time},
                                {"root", hex(root)},
                                {"attempt", attempt},
                                {"changed", changed_bytes},
                                {"stored", stored_bytes},
                                {"source", origin.source},
                                {"change-id", origin.change_id},
                                {"draft", draft_id},
                                {"pinned", pinned}};
    if (!run.empty()) json["run"] = run;
    for (const Companion& one : companions)
        json["companions"].push_back({{"name", one.name}, {"size", one.size_bytes}, {"sha256", hex(one.hash)}});
    return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<Generation> Generation::from_json(std::string_view text) {
    Generation result;
    auto json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_object()) return fail(EINVAL, "generation: \"{}\" is not what is written for one", text.substr(0, 80));
    bool good = true;
    auto take = [&](const char* name, auto& value) {
        using Value = std::remove_reference_t<decltype(value)>;
        auto at = json.find(name);
        bool fits = at != json.end();
        if constexpr (std::is_same_v<Value, std::string>)
            fits = fits && at->is_string();
        else if constexpr (std::is_same_v<Value, bool>)
            fits = fits && at->is_boolean();
        else
            fits = fits && at->is_number_integer() && (std::is_signed_v<Value> || at->is_number_unsigned());
        if (fits) value = at->template get<Value>();
        good = good && fits;
    };
    std::string root;
    take("number", result.number);
    take("size", result.size_bytes);
    take("time", result.time);
    take("root", root);
    take("attempt", result.attempt);
    take("changed", result.changed_bytes);
    take("stored", result.stored_bytes);
    take("source", result.origin.source);
    take("change-id", result.origin.change_id);
    take("draft", result.draft_id);
    take("pinned", result.pinned);
    good = good && parse_hex(root, result.root);
    if (json.contains("run")) take("run", result.run);
    if (auto companions = json.find("companions"); companions != json.end()) good = good && take_companions(*companions, result.companions);
    if (!good || result.number == 0)
        return fail(EINVAL, "generation: \"{}\" is not what is written for one", text.substr(0, 80));
    return result;
}

Result<Generation> find_generation(const std::vector<Generation>& all, std::string_view which) {
    if (which.empty() || which == "latest") {
        if (all.empty()) return fail(ENOENT, "there is no generation yet (make one with hyperctl sync)");
        return all.back();
    }
    uint32_t number = 0;
    auto [end, error] = std::from_chars(which.data(), which.data() + which.size(), number);
    if (error == std::errc() && end == which.data() + which.size()) {
        for (const Generation& one : all)
            if (one.number == number) return one;
        return fail(ENOENT, "there is no generation {}, or not any more: {}", number, span_of(all));
    }
    auto time = parse_utc(which);
    if (!time)
        return fail(ENOENT, "@{}: not a generation (try a number, latest, or a time as 2026-11-20T02:00Z)", which);
    for (auto at = all.rbegin(); at != all.rend(); ++at)
        if (at->time <= *time) return *at;
    return fail(ENOENT, "there is no generation as old as {}: {}", which, span_of(all));
}

}  // namespace hyper
