// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "carbon/zones.h"
#include "scheduler/hyperd/api.h"
#include "scheduler/hyperd/views.h"

namespace hyper::hyperd {

namespace {

Instant now() { return std::chrono::floor<Seconds>(std::chrono::system_clock::now()); }

Json text_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

// A zone that nothing is known of is an answer, not an error: it is said so.
http::Answer status(Api& api, const Call& call) {
    auto given = call.body.find("zone");
    if (given == call.body.end() || !given->is_string())
        return problem(422, "zone must be there, and text: an id (DE) or VENDOR:REGION (aws:eu-central-1)", {"zone", given == call.body.end() ? Json() : *given});
    auto zone = carbon::find_zone(given->get<std::string>());
    if (!zone) return problem_of(zone.error(), {"zone", *given});
    Json signal = call.body.value("signal", Json("average"));
    if (signal != "average" && signal != "marginal") return problem(422, "signal must be average or marginal", {"signal", signal});
    auto kind = signal == "marginal" ? carbon::SignalKind::marginal : carbon::SignalKind::average;
    auto found = api.daemon.carbon_status(zone->id, kind);
    if (!found) {
        found.emplace();
        found->zone = zone->id, found->signal = kind, found->quality = carbon::quality_text(carbon::Quality::unknown);
        found->words.push_back(fmt::format("no job names zone {} with signal = \"{}\", so nobody asks about it", zone->id, carbon::signal_name(kind)));
    }
    Json json = json_of(*found);
    json["mapped_from"] = text_or_null(zone->mapped_from);
    json["at"] = instant_text(now());
    return json_answer(json);
}

// What is known of those that jobs name.
Json signals_of(Api& api, const std::string& zone) {
    Json list = Json::array();
    for (auto kind : {carbon::SignalKind::average, carbon::SignalKind::marginal})
        if (auto found = api.daemon.carbon_status(zone, kind)) list.push_back(json_of(*found));
    return list;
}

http::Answer zones(Api& api, const Call&) {
    std::set<std::string> ids;
    for (const auto& region : carbon::cloud_regions()) ids.insert(region.zone);
    for (std::string_view name : carbon::first_zones())
        if (auto zone = carbon::find_zone(name)) ids.insert(zone->id);
    for (const auto& entry : api.daemon.config().jobs)
        for (const std::string& zone : {entry.second.rules.carbon.source_grid, entry.second.rules.carbon.target_grid})
            if (!zone.empty()) ids.insert(zone);
    Json list = Json::array();
    for (const std::string& id : ids) {
        Json regions = Json::array();
        for (const auto& region : carbon::cloud_regions())
            if (region.zone == id) regions.push_back(region.vendor + ":" + region.region);
        list.push_back({{"zone", id}, {"regions", std::move(regions)}, {"signals", signals_of(api, id)}});
    }
    return json_answer({{"zones", std::move(list)}});
}

// A sum over runs of which all of the parts are known, so that the differences mean something.
struct Sum {
    size_t runs = 0;
    carbon::Estimate grams, at_once, foresight;
    size_t with_foresight = 0;
    double grams_with_foresight = 0, at_once_with_foresight = 0;
};

http::Answer report(Api& api, const Call& call) {
    const std::string& name = call.at("job");
    if (auto there = api.daemon.job(name); !there) return problem_of(there.error(), {"path.job", Json(name)});
    auto rows = api.daemon.runs(name, call.number("limit", rows_max));
    if (!rows) return problem_of(rows.error());
    carbon::Estimate kwh;
    uint64_t read_bytes = 0;
    Sum sum;
    Json list = Json::array();
    for (const auto& row : *rows) {
        kwh = kwh + row.energy.total();
        read_bytes += row.moved_bytes;
        list.push_back(json_of(row));
        if (!row.grams || !row.grams_at_once) continue;
        ++sum.runs;
        sum.grams = sum.grams + *row.grams;
        sum.at_once = sum.at_once + *row.grams_at_once;
        if (!row.grams_foresight) continue;
        ++sum.with_foresight;
        sum.foresight = sum.foresight + *row.grams_foresight;
        sum.grams_with_foresight += row.grams->middle;
        sum.at_once_with_foresight += row.grams_at_once->middle;
    }
    double could_save = sum.at_once_with_foresight - sum.foresight.middle;
    bool any = sum.runs > 0, all = sum.with_foresight > 0;
    return json_answer({{"job", name},
                        {"runs", rows->size()},
                        {"read_bytes", read_bytes},
                        {"kwh", json_of(std::optional(kwh))},
                        {"runs_settled", sum.runs},
                        {"grams", any ? json_of(std::optional(sum.grams)) : Json()},
                        {"grams_at_once", any ? json_of(std::optional(sum.at_once)) : Json()},
                        {"grams_with_foresight", all ? json_of(std::optional(sum.foresight)) : Json()},
                        {"saved_share", any && sum.at_once.middle > 0 ? Json(1 - sum.grams.middle / sum.at_once.middle) : Json()},
                        {"share_of_foresight", could_save > 0 ? Json((sum.at_once_with_foresight - sum.grams_with_foresight) / could_save) : Json()},
                        {"ledger", std::move(list)}});
}

}  // namespace

void add_carbon_routes(std::vector<Route>& routes, Api& api) {
    auto with = [&](auto handler) { return [handler, &api](const Call& call) { return handler(api, call); }; };
    routes.push_back({"POST", "/carbon/status", "carbonStatus", "How clean a zone that jobs name is now, how that ranks within its last 30 days, and how it is known", Scope::read, {}, "ZoneQuestion",
                      {200, "ZoneStatus", "nulls where nothing is known"}, with(status)});
    routes.push_back({"GET", "/carbon/zones", "carbonZones", "Grid zones, the cloud regions in each, and what is known of those that jobs name", Scope::read, {}, "", {200, "Zones", "by id"}, with(zones)});
    routes.push_back({"POST", "/carbon/report/{job}", "carbonReport", "Energy and grams of a job's runs, what they would have been at once, and what foresight could have had", Scope::read,
                      {{"job", "path", "the job's name", 0}, {"limit", "query", "over how many runs at most, the newest (1000)", rows_max}}, "",
                      {200, "CarbonReport", "sums, and the rows of the ledger that they can be computed from"}, with(report)});
}

}  // namespace hyper::hyperd
