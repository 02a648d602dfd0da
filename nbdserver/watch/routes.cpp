// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/watch/routes.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>

#include "nbdserver/watch/prometheus.h"
#include "providers/registry.h"

namespace hyper::watch {

namespace {

using Json = nlohmann::ordered_json;

Json json_of(const Totals& totals) {
    Json histogram = Json::array();
    for (size_t i = 0; i < totals.latency.size(); ++i) {
        if (totals.latency[i] == 0) continue;
        Json bound = i + 1 < totals.latency.size() ? Json(latency_bucket_max_ns(i)) : Json(nullptr);
        histogram.push_back({std::move(bound), totals.latency[i]});
    }
    return {{"requests", totals.requests},
            {"bytes", totals.bytes},
            {"errors", totals.errors},
            {"latency-ns",
             {{"mean", totals.mean_ns()},
              {"p50", totals.percentile_ns(0.5)},
              {"p90", totals.percentile_ns(0.9)},
              {"p99", totals.percentile_ns(0.99)}}},
            {"latency-histogram", std::move(histogram)}};
}

Json json_of(const Statistics& statistics) {
    Json json = Json::object();
    for (size_t i = 0; i < command_count; ++i)
        if (statistics.commands[i].requests > 0)
            json[std::string(command_name(static_cast<Command>(i)))] =
                json_of(statistics.commands[i]);
    json["total"] = json_of(statistics.sum());
    return json;
}

std::string time_text(WallTime time) {
    auto whole = std::chrono::floor<std::chrono::milliseconds>(time);
    auto ms = whole.time_since_epoch().count() % 1000;
    return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                       fmt::gmtime(std::chrono::system_clock::to_time_t(whole)), ms);
}

Json json_of(const ClientSnapshot& client) {
    return {{"id", client.id},
            {"peer", client.info.peer},
            {"identity", client.info.identity},
            {"export", client.info.export_name},
            {"since", time_text(client.since)},
            {"tls", client.info.tls},
            {"writable", client.info.writable},
            {"bytes-in-flight", client.bytes_in_flight},
            {"statistics", json_of(client.statistics)}};
}

Answer json_answer(const Json& json, int status = 200) {
    return {status, "application/json",
            json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n", ""};
}

// Exports that are offered, opened, or both.
struct Known {
    const Offered* offered = nullptr;
    const ExportSnapshot* opened = nullptr;
};

Json json_of(const std::string& name, const Known& known) {
    Json json = {{"name", name}, {"offered", known.offered != nullptr}};
    if (known.offered != nullptr) {
        json["size"] = known.offered->size_bytes;
        json["description"] = known.offered->description;
        json["read-only"] = known.offered->read_only;
    }
    json["clients"] = known.opened != nullptr ? known.opened->clients : 0;
    json["statistics"] = json_of(known.opened != nullptr ? known.opened->statistics : Statistics());
    return json;
}

class Exports {
  public:
    Exports(const Registry& registry, const OfferedList& offered)
        : offered_(offered()), opened_(registry.exports()) {
        for (const Offered& one : offered_) known_[one.name].offered = &one;
        for (const ExportSnapshot& one : opened_) known_[one.name].opened = &one;
    }
    const std::map<std::string, Known>& all() const { return known_; }

  private:
    const std::vector<Offered> offered_;
    const std::vector<ExportSnapshot> opened_;
    std::map<std::string, Known> known_;
};

Answer list_exports(Registry& registry, const OfferedList& offered) {
    Json list = Json::array();
    Exports exports(registry, offered);
    for (const auto& [name, known] : exports.all()) list.push_back(json_of(name, known));
    return json_answer({{"exports", std::move(list)}});
}

Answer no_export(const std::string& name) {
    return error_answer(
        404, fmt::format("export \"{}\": neither offered nor opened since the start", name));
}

Answer show_export(const std::string& name, Registry& registry, const OfferedList& offered) {
    Exports exports(registry, offered);
    auto known = exports.all().find(name);
    if (known == exports.all().end()) return no_export(name);
    Json json = json_of(name, known->second), clients = Json::array();
    for (const ClientSnapshot& client : registry.clients())
        if (client.info.export_name == name) clients.push_back(json_of(client));
    json["clients-open"] = std::move(clients);
    return json_answer(json);
}

Answer close_export(const std::string& name, Registry& registry, const OfferedList& offered) {
    size_t closed = registry.close_clients_of(name);
    if (closed == 0 && !Exports(registry, offered).all().contains(name)) return no_export(name);
    return json_answer({{"closed", closed}});
}

Answer list_clients(Registry& registry) {
    Json list = Json::array();
    for (const ClientSnapshot& client : registry.clients()) list.push_back(json_of(client));
    return json_answer({{"clients", std::move(list)}});
}

std::optional<uint64_t> number_of(const std::string& text) {
    uint64_t number = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

Answer close_client(const std::string& text, Registry& registry) {
    auto id = number_of(text);
    if (!id || !registry.close_client(*id))
        return error_answer(404, fmt::format("client {}: not connected", text));
    return json_answer({{"closed", 1}});
}

Answer provider_answer(const Result<std::shared_ptr<const Module>>& module) {
    if (!module) return error_answer(module.error().code == ENOENT ? 404 : 422, module.error().message);
    return json_answer({{"name", (*module)->name()}, {"version", (*module)->table().version}});
}

// `what` is NAME, NAME/reload or FILE/load.
Answer change_provider(const std::string& method, std::string what) {
    auto cut = [&](std::string_view action) {
        if (!what.ends_with(action)) return false;
        what.resize(what.size() - action.size());
        return true;
    };
    auto& registry = hyper::Registry::instance();
    if (method == "POST" && cut("/reload")) return provider_answer(registry.reload(what));
    if (method == "POST" && cut("/load")) return provider_answer(registry.load(what));
    if (method != "DELETE") return error_answer(404, fmt::format("{}: neither /reload nor /load", what));
    auto gone = registry.unload(what);
    return gone ? json_answer({{"name", what}}) : error_answer(404, gone.error().message);
}

Answer begin_commit(const std::string& folder, Commits& commits) {
    auto number = commits.begin(folder);
    return number ? json_answer({{"commit", *number}}) : error_answer(503, "too many commits are under way");
}

Answer show_commit(const std::string& text, const Commits& commits) {
    auto number = number_of(text);
    auto state = number ? commits.find(*number) : std::nullopt;
    if (!state) return error_answer(404, fmt::format("commit {}: not known", text));
    return json_answer({{"commit", *number},
                        {"running", state->running},
                        {"done-bytes", state->done_bytes},
                        {"generation", state->generation != 0 ? Json(state->generation) : Json(nullptr)},
                        {"error", !state->error.empty() ? Json(state->error) : Json(nullptr)}});
}

Answer wrong_method(const std::string& allow) {
    Answer answer = error_answer(405, fmt::format("only {} is possible here", allow));
    answer.allow = allow;
    return answer;
}

}  // namespace

Answer error_answer(int status, const std::string& message) {
    return json_answer({{"error", message}}, status);
}

Answer answer_to(const std::string& method, const std::string& path, Registry& registry,
                 const OfferedList& offered, Commits& commits) {
    constexpr std::string_view exports = "/v1/exports/", clients = "/v1/clients/", providers = "/v1/providers/",
                               commits_prefix = "/v1/commits/", clients_of = "/clients";
    if (path == "/metrics")
        return method == "GET"
                   ? Answer{200, "text/plain; version=0.0.4", prometheus_text(registry), ""}
                   : wrong_method("GET");
    if (path == "/v1/exports")
        return method == "GET" ? list_exports(registry, offered) : wrong_method("GET");
    if (path == "/v1/clients")
        return method == "GET" ? list_clients(registry) : wrong_method("GET");
    if (path.starts_with(clients))
        return method == "DELETE" ? close_client(path.substr(clients.size()), registry)
                                  : wrong_method("DELETE");
    if (path.starts_with(commits_prefix)) {
        std::string what = path.substr(commits_prefix.size());
        if (method == "POST") return begin_commit(what, commits);
        return method == "GET" ? show_commit(what, commits) : wrong_method("GET, POST");
    }
    if (path.starts_with(providers)) return change_provider(method, path.substr(providers.size()));
    if (path.starts_with(exports)) {
        std::string name = path.substr(exports.size());
        if (method == "GET") return show_export(name, registry, offered);
        if (!name.ends_with(clients_of)) return wrong_method("GET");
        name.resize(name.size() - clients_of.size());
        return method == "DELETE" ? close_export(name, registry, offered) : wrong_method("DELETE");
    }
    return error_answer(404, fmt::format("{}: there is no such path", path));
}

}  // namespace hyper::watch
