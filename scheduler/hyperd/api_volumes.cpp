// SPDX-License-Identifier: Apache-2.0
// Volumes that have names below the root, and the providers that disks come from; to be looked at only.
#include <algorithm>
#include <filesystem>

#include "blockengine/volume/volume.h"
#include "providers/registry.h"
#include "scheduler/hyperd/api.h"
#include "scheduler/hyperd/views.h"

namespace hyper::hyperd {

namespace {

namespace fs = std::filesystem;

std::string folder_of(Api& api, const std::string& name) { return api.daemon.root() + "/volumes/" + name + std::string(volume_suffix); }

Json json_of_volume(Api& api, const std::string& name) {
    Json json{{"name", name}, {"generations", nullptr}, {"latest", nullptr}, {"problem", nullptr}};
    auto generations = Volume::open(api.engine, folder_of(api, name)).and_then([](const auto& volume) { return volume->generations(); });
    if (!generations) {
        json["problem"] = generations.error().message;
        return json;
    }
    json["generations"] = generations->size();
    if (!generations->empty()) json["latest"] = json_of(generations->back());
    return json;
}

// A name of the API is one of a file here: no part of a path.
bool is_there(Api& api, const std::string& name) {
    return !name.empty() && !name.starts_with('.') && name.find('/') == std::string::npos && is_volume(folder_of(api, name));
}

http::Answer none_of(const std::string& name) {
    return problem(404, fmt::format("volume {}: there is none of that name below the root", name), {"path.volume", Json(name)});
}

http::Answer list(Api& api, const Call&) {
    std::vector<std::string> names;
    std::error_code ignored;
    for (fs::directory_iterator at(api.daemon.root() + "/volumes", ignored), end; !ignored && at != end; at.increment(ignored)) {
        std::string name = at->path().filename().string();
        if (name.ends_with(volume_suffix)) name.resize(name.size() - volume_suffix.size());
        if (is_there(api, name)) names.push_back(name);
    }
    std::ranges::sort(names);
    Json volumes = Json::array();
    for (const std::string& name : names) volumes.push_back(json_of_volume(api, name));
    return json_answer({{"volumes", std::move(volumes)}});
}

http::Answer show(Api& api, const Call& call) {
    const std::string& name = call.at("volume");
    return is_there(api, name) ? json_answer(json_of_volume(api, name)) : none_of(name);
}

http::Answer generations(Api& api, const Call& call) {
    const std::string& name = call.at("volume");
    if (!is_there(api, name)) return none_of(name);
    auto all = Volume::open(api.engine, folder_of(api, name)).and_then([](const auto& volume) { return volume->generations(); });
    if (!all) return problem_of(all.error(), {"path.volume", Json(name)});
    Json list = Json::array();
    for (const Generation& generation : *all) list.push_back(json_of(generation));
    return json_answer({{"volume", name}, {"generations", std::move(list)}});
}

http::Answer providers(Api&, const Call&) {
    Json list = Json::array();
    for (const auto& one : Registry::instance().all()) {
        Json entry{{"name", one.name}, {"version", nullptr}, {"schemes", nullptr}, {"description", nullptr}, {"problem", one.problem.empty() ? Json() : Json(one.problem)}};
        if (one.module) {
            const hyper_provider& table = one.module->table();
            entry.update({{"version", table.version}, {"schemes", table.schemes}, {"description", table.description}});
        }
        list.push_back(std::move(entry));
    }
    return json_answer({{"providers", std::move(list)}});
}

}  // namespace

void add_volume_routes(std::vector<Route>& routes, Api& api) {
    auto with = [&](auto handler) { return [handler, &api](const Call& call) { return handler(api, call); }; };
    const Parameter volume{"volume", "path", "the volume's name below the root", 0};
    routes.push_back({"GET", "/v1/volumes", "listVolumes", "The volumes below the root", Scope::read, {}, "", {200, "Volumes", "by name"}, with(list)});
    routes.push_back({"GET", "/v1/volumes/{volume}", "showVolume", "One volume", Scope::read, {volume}, "", {200, "Volume", "the volume"}, with(show)});
    routes.push_back({"GET", "/v1/volumes/{volume}/generations", "listGenerations", "The generations of a volume", Scope::read, {volume}, "",
                      {200, "Generations", "the oldest first"}, with(generations)});
    routes.push_back({"GET", "/v1/providers", "listProviders", "Where disks can come from", Scope::read, {}, "", {200, "Providers", "by name"}, with(providers)});
}

}  // namespace hyper::hyperd
