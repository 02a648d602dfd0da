// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <nlohmann/json.hpp>

#include "blockengine/base/setting.h"

namespace hyper {
namespace {

using Json = nlohmann::json;

constexpr unsigned depth_max = 32;

Result<Setting> setting_of(const Json& json, std::string path, const std::shared_ptr<const std::string>& file, unsigned depth) {
    if (depth > depth_max) return fail(EINVAL, "{}: it is nested more than {} deep", *file, depth_max);
    Setting made;
    made.file = file;
    if (json.is_string()) {
        made.kind = Setting::Kind::text;
        made.text = json.get<std::string>();
    } else if (json.is_number_unsigned() && json.get<uint64_t>() > uint64_t(INT64_MAX)) {
        made.kind = Setting::Kind::number;
        made.number = json.get<double>();
    } else if (json.is_number_integer()) {
        made.kind = Setting::Kind::integer;
        made.integer = json.get<int64_t>();
        made.number = double(made.integer);
    } else if (json.is_number()) {
        made.kind = Setting::Kind::number;
        made.number = json.get<double>();
    } else if (json.is_boolean()) {
        made.kind = Setting::Kind::boolean;
        made.boolean = json.get<bool>();
    } else if (json.is_array()) {
        made.kind = Setting::Kind::list;
        for (const Json& element : json) made.list.push_back(TRY(setting_of(element, path, file, depth + 1)));
    } else if (json.is_object()) {
        made.kind = Setting::Kind::table;
        for (auto entry = json.begin(); entry != json.end(); ++entry) {
            Setting child = TRY(setting_of(*entry, path.empty() ? entry.key() : path + "." + entry.key(), file, depth + 1));
            made.table.push_back({entry.key(), std::move(child)});
        }
    }
    made.path = std::move(path);
    return made;
}

}  // namespace

Result<Setting> parse_json_setting(std::string_view text, const std::string& name) {
    Json json = Json::parse(text, nullptr, false);
    if (json.is_discarded()) return fail(EINVAL, "{}: this is no JSON", name);
    return setting_of(json, "", std::make_shared<const std::string>(name), 0);
}

}  // namespace hyper
