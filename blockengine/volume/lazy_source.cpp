// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/lazy_source.h"

#include <cerrno>
#include <nlohmann/json.hpp>

#include "blockengine/volume/small_file.h"

namespace hyper {

namespace {

std::string path_in(const std::string& draft_folder) { return draft_folder + "/source"; }

}  // namespace

Result<std::optional<LazySource>> read_lazy_source(const std::string& draft_folder) {
    auto text = read_small_file(path_in(draft_folder));
    if (!text && text.error().code == ENOENT) return std::nullopt;
    if (!text) return tl::unexpected(text.error());
    try {
        auto json = nlohmann::json::parse(*text);
        LazySource source;
        source.name = json.at("name");
        source.format = json.at("format");
        source.snapshot = json.at("snapshot");
        source.identity = json.at("identity");
        source.size_bytes = json.at("size");
        source.hydrated = json.at("hydrated");
        for (const auto& run : json.at("first")) source.first.push_back({run.at(0), run.at(1)});
        return source;
    } catch (const nlohmann::json::exception& error) {
        return fail(EIO, "{}: damaged: {}", path_in(draft_folder), error.what());
    }
}

Result<void> write_lazy_source(const std::string& draft_folder, const LazySource& source) {
    nlohmann::ordered_json json{{"name", source.name},         {"format", source.format}, {"snapshot", source.snapshot},
                                {"identity", source.identity}, {"size", source.size_bytes}, {"hydrated", source.hydrated},
                                {"first", nlohmann::json::array()}};
    for (const ChangedRun& run : source.first) json["first"].push_back({run.offset, run.length});
    return write_small_file(path_in(draft_folder), json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

}  // namespace hyper
