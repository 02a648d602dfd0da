// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/attempt_note.h"

#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "blockengine/volume/small_file.h"

namespace hyper::hyperd {

using Json = nlohmann::json;

Result<void> write_note(const std::string& folder, const std::string& job, const AttemptNote& note) {
    Json json{{"period", note.period}, {"before", note.before}, {"from", instant_text(note.from)}, {"until", instant_text(note.until)},
              {"moved-bytes", note.moved_bytes}};
    return write_small_file(folder + "/" + job, json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

Result<AttemptNote> read_note(const std::string& folder, const std::string& job) {
    const std::string path = folder + "/" + job;
    Json json = Json::parse(TRY(read_small_file(path)), nullptr, false);
    if (!json.is_object()) json = Json::object();
    auto text = [&](const char* key) { return json.contains(key) && json[key].is_string() ? json[key].get<std::string>() : ""; };
    auto number = [&](const char* key) { return json.contains(key) && json[key].is_number_unsigned() ? json[key].get<uint64_t>() : 0; };
    auto from = parse_instant(text("from")), until = parse_instant(text("until"));
    if (!from || !until || *until < *from) return fail(EINVAL, "{}: is no note of an attempt", path);
    return AttemptNote{text("period"), number("before"), *from, *until, number("moved-bytes")};
}

void remove_note(const std::string& folder, const std::string& job) {
    std::error_code ignored;
    std::filesystem::remove(folder + "/" + job, ignored);
}

}  // namespace hyper::hyperd
