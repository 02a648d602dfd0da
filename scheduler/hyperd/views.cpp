// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/views.h"

#include "blockengine/base/hex.h"
#include "scheduler/calendar/duration.h"
#include "scheduler/cost/money.h"

namespace hyper::hyperd {

using namespace scheduler;

namespace {

Json seconds_of(const std::optional<Seconds>& seconds) { return seconds ? Json(seconds->count()) : Json(); }

Json money_of(const std::optional<Money>& money) { return money ? Json(money_text(*money)) : Json(); }

Json parsed(const std::string& text) {
    Json json = Json::parse(text, nullptr, false);
    return json.is_discarded() ? Json::array() : json;
}

}  // namespace

Json json_of(const std::optional<Instant>& instant) { return instant ? Json(instant_text(*instant)) : Json(); }

Json json_of(const std::optional<carbon::Estimate>& estimate) {
    if (!estimate) return nullptr;
    return {{"low", estimate->low}, {"middle", estimate->middle}, {"high", estimate->high}};
}

Json json_of(const JobView& view) {
    const Policy& rules = view.job.rules;
    const JobState& state = view.state;
    Json json{{"name", view.job.name},
              {"source", view.job.source},
              {"volume", view.job.volume},
              {"policy", view.job.policy.empty() ? Json() : Json(view.job.policy)},
              {"rpo_seconds", seconds_of(rules.rpo)},
              {"every", rules.every.text.empty() ? Json() : Json(rules.every.text)},
              {"timezone", rules.timezone},
              {"priority", rules.priority},
              {"defined_in", view.json.empty() ? "file" : "api"},
              {"definition", view.json.empty() ? Json() : parsed(view.json)},
              {"paused", view.job.paused || state.user_paused},
              {"phase", phase_name(state.phase)},
              {"why", state.why},
              {"next_start", json_of(state.next_start)},
              {"period", state.period.empty() ? Json() : Json(state.period)},
              {"due", json_of(state.due)},
              {"attempts", state.attempts},
              {"retry_at", json_of(state.retry_at)},
              {"last_point", json_of(state.last_point)},
              {"last_success", json_of(state.last_success_end)},
              {"last_generation", state.last_generation.empty() ? Json() : Json(state.last_generation)},
              {"last_end", json_of(state.last_end)},
              {"last_failed", state.last_failed},
              {"since", instant_text(state.since)},
              {"progress", nullptr}};
    if (view.progress) json["progress"] = {{"done_bytes", view.progress->done_bytes}, {"total_bytes", view.progress->total_bytes}};
    return json;
}

Json json_of(const RunRow& row) {
    Json stretches = Json::array();
    for (const TimeRange& stretch : row.stretches) stretches.push_back({{"from", instant_text(stretch.from)}, {"until", instant_text(stretch.until)}});
    return {{"job", row.job},
            {"period", row.period},
            {"phase", row.phase},
            {"due", instant_text(row.due)},
            {"decided_at", instant_text(row.decided_at)},
            {"planned_start", instant_text(row.planned_start)},
            {"deadline", json_of(row.deadline)},
            {"cause", row.cause},
            {"why", row.explanation},
            {"alternatives", parsed(row.alternatives_json)},
            {"forecasts", row.issues},
            {"expected", {{"grams", json_of(std::optional(row.expected_grams))}, {"money", money_of(row.expected_money)}, {"bytes", row.expected_bytes}, {"seconds", row.expected_length.count()}}},
            {"currency", row.currency},
            {"started_at", json_of(row.started_at)},
            {"ended_at", json_of(row.ended_at)},
            {"attempts", row.attempts},
            {"message", row.message},
            {"generation", row.generation.empty() ? Json() : Json(row.generation)},
            {"read_bytes", row.moved_bytes},
            {"changed_bytes", row.changed_bytes},
            {"noted_bytes", row.noted_bytes},
            {"seconds", row.seconds},
            {"stretches", std::move(stretches)},
            {"kwh", json_of(std::optional(row.energy.total()))},
            {"grams", json_of(row.grams)},
            {"grams_at_once", json_of(row.grams_at_once)},
            {"grams_with_foresight", json_of(row.grams_foresight)},
            {"money", money_of(row.money)}};
}

Json json_of(const Decision& decision) {
    Json notes = Json::array();
    for (const std::string& note : decision.notes) notes.push_back(note);
    return {{"job", decision.job},
            {"action", action_name(decision.action)},
            {"cause", cause_name(decision.cause)},
            {"why", decision.explanation},
            {"at", json_of(decision.at)},
            {"period", decision.period.empty() ? Json() : Json(decision.period)},
            {"deadline", json_of(decision.deadline)},
            {"last_start", json_of(decision.last_start)},
            {"at_risk", decision.at_risk},
            {"expected", {{"bytes", decision.size.bytes}, {"seconds", decision.size.length.count()}, {"seconds_p95", decision.size.length_p95.count()}, {"measured", decision.size.measured}}},
            {"alternatives", parsed(alternatives_json(decision.alternatives))},
            {"forecasts", decision.issues},
            {"notes", std::move(notes)}};
}

Json json_of(const DecisionRow& row) {
    return {{"id", row.id},         {"at", instant_text(row.at)},
            {"job", row.job},       {"action", row.action},
            {"cause", row.cause},   {"why", row.explanation},
            {"period", row.period}, {"until", json_of(row.until)},
            {"seed", std::to_string(row.seed)}, {"alternatives", parsed(row.alternatives_json)},
            {"forecasts", row.issues}};
}

Json json_of(const Event& event) {
    Json body = Json::parse(event.body_json, nullptr, false);
    return {{"id", event.id}, {"at", instant_text(event.at)}, {"kind", event.kind}, {"job", event.job.empty() ? Json() : Json(event.job)}, {"body", body.is_object() ? body : Json::object()}};
}

Json json_of(const carbon::CarbonStatus& status) {
    Json words = Json::array();
    for (const std::string& line : status.words) words.push_back(line);
    return {{"zone", status.zone},
            {"signal", carbon::signal_name(status.signal)},
            {"grams_per_kwh", status.grams_per_kwh ? Json(*status.grams_per_kwh) : Json()},
            {"status", status.grams_per_kwh ? Json(status.status) : Json()},
            {"rank", status.rank ? Json(*status.rank) : Json()},
            {"source", status.source.empty() ? Json() : Json(status.source)},
            {"quality", status.quality},
            {"issued_at", json_of(status.issued_at)},
            {"words", std::move(words)}};
}

Json json_of(const Generation& generation) {
    return {{"generation", generation.number},
            {"time", utc_text(generation.time)},
            {"size_bytes", generation.size_bytes},
            {"changed_bytes", generation.changed_bytes},
            {"stored_bytes", generation.stored_bytes},
            {"root", hex(generation.root)},
            {"source", generation.origin.source},
            {"pinned", generation.pinned}};
}

}  // namespace hyper::hyperd
