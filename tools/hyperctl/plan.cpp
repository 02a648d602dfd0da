// SPDX-License-Identifier: Apache-2.0
// When each job runs next, and why: as hyperd plans it, or of a configuration and from files.
#include <fmt/format.h>

#include <chrono>
#include <cmath>

#include "scheduler/costs.h"
#include "scheduler/state/store.h"
#include "scheduler/zone_outlook.h"
#include "tools/hyperctl/command.h"
#include "tools/hyperctl/hyperd_client.h"
#include "tools/hyperctl/schedule_files.h"
#include "tools/hyperctl/schedule_text.h"
#include "tools/hyperctl/table.h"

namespace hyper::ctl {

namespace {

using scheduler::Action;
using scheduler::Cause;
using scheduler::Decision;

struct PlanOptions {
    HyperdClient hyperd;
    std::string config, table, state, now;
    uint64_t seed = 1;
    bool explain = false, json = false;
};

// What a plan is made of; a state folder is optional.
struct Known {
    std::map<std::string, scheduler::JobState> states;
    std::map<std::string, std::vector<scheduler::SyncMeasure>> measures;
    scheduler::MonthUse used;
};

Result<Known> read_state(const std::string& folder, Instant now, scheduler::Config& config) {
    Known known;
    if (folder.empty()) return known;
    auto store = TRY(scheduler::Store::open(folder, scheduler::Access::read));
    for (const scheduler::StoredJob& stored : TRY(store.jobs())) {
        auto job = TRY(scheduler::parse_job_json(stored.json, stored.name, config));
        TRY(scheduler::add_job(config, std::move(job)));
    }
    known.states = TRY(store.states());
    known.measures = TRY(store.measures());
    known.used = TRY(store.used(now));
    return known;
}

Json json_of(const Decision& decision) {
    Json json = {{"job", decision.job}, {"action", scheduler::action_name(decision.action)}, {"cause", scheduler::cause_name(decision.cause)}};
    if (decision.at) json["at"] = instant_text(*decision.at);
    json["why"] = decision.explanation;
    if (!decision.notes.empty()) json["notes"] = decision.notes;
    if (!decision.period.empty()) json["period"] = decision.period;
    if (decision.deadline) json["deadline"] = instant_text(*decision.deadline);
    if (decision.last_start) json["last-start"] = instant_text(*decision.last_start);
    json["at-risk"] = decision.at_risk;
    json["expected-seconds"] = decision.size.length.count();
    json["expected-seconds-p95"] = decision.size.length_p95.count();
    json["expected-bytes"] = decision.size.bytes;
    json["measured"] = decision.size.measured;
    json["alternatives"] = Json::parse(scheduler::alternatives_json(decision.alternatives));
    if (!decision.issues.empty()) json["forecasts"] = decision.issues;
    return json;
}

void print_table(const std::vector<Decision>& decisions) {
    Table table({"JOB", "ACTION", "WHEN (UTC)", "CAUSE", ">GRAMS", ">NOW", ">MONEY", "DEADLINE"});
    for (const Decision& decision : decisions) {
        const scheduler::Alternative *now = nullptr, *chosen = nullptr;
        for (const scheduler::Alternative& one : decision.alternatives) {
            if (one.what == "now") now = &one;
            if (one.what == "planned") chosen = &one;
        }
        if (!chosen && decision.action == scheduler::Action::run) chosen = now;
        table.add({decision.job, scheduler::action_name(decision.action), decision.at ? instant_text(*decision.at) : "-", scheduler::cause_name(decision.cause),
                   grams_text(chosen ? chosen->grams : std::nullopt), grams_text(now ? now->grams : std::nullopt),
                   chosen && chosen->money ? scheduler::money_text(*chosen->money) + " " + chosen->currency : "-",
                   decision.deadline ? instant_text(*decision.deadline) : "-"});
    }
    table.print();
}

void print_explained(const std::vector<Decision>& decisions) {
    for (const Decision& decision : decisions) {
        fmt::print("{}: {}{}\n", decision.job, scheduler::action_name(decision.action), decision.at ? " at " + instant_text(*decision.at) : "");
        fmt::print("    why: {}\n", printable(decision.explanation));
        for (const std::string& note : decision.notes) fmt::print("    note: {}\n", printable(note));
        if (decision.deadline)
            fmt::print("    whole by: {}{}\n", instant_text(*decision.deadline),
                       decision.last_start ? ", so it starts by " + instant_text(*decision.last_start) : "");
        if (decision.at_risk) fmt::print("    the rpo is at risk\n");
        fmt::print("    size: {}, in {} ({} at the 95th percentile){}\n", human_bytes(decision.size.bytes), scheduler::duration_text(decision.size.length),
                   scheduler::duration_text(decision.size.length_p95), decision.size.measured ? "" : ": a guess, since nothing was measured yet");
        for (const scheduler::Alternative& one : decision.alternatives)
            fmt::print("    {}: {}, {} (low {}, high {}), {}\n", one.what, instant_text(one.start), grams_text(one.grams), grams_text(one.grams ? one.grams->low : NAN),
                       grams_text(one.grams ? one.grams->high : NAN), one.money ? scheduler::money_text(*one.money) + " " + one.currency : "no price known");
        if (!decision.issues.empty()) fmt::print("    forecasts: {}\n", decision.issues);
    }
}

int print(const std::vector<Decision>& decisions, const PlanOptions& options, Json json) {
    if (options.json) {
        json["jobs"] = Json::array();
        for (const Decision& decision : decisions) json["jobs"].push_back(json_of(decision));
        print_json(json);
    } else if (options.explain) {
        print_explained(decisions);
    } else {
        print_table(decisions);
    }
    return exit_ok;
}

std::optional<Instant> instant_of(const Json& json) {
    auto instant = json.is_string() ? parse_instant(json.get<std::string>()) : Result<Instant>(fail(EINVAL, "none"));
    return instant ? std::optional(*instant) : std::nullopt;
}

scheduler::Alternative alternative_of(const Json& json) {
    scheduler::Alternative one;
    one.what = json.at("what");
    one.start = instant_of(json.at("start")).value_or(Instant());
    if (auto grams = json.find("grams"); grams != json.end()) one.grams = carbon::Estimate{grams->at("low"), grams->at("middle"), grams->at("high")};
    if (auto money = json.find("money"); money != json.end())
        if (auto parsed = scheduler::parse_money(money->get<std::string>())) one.money = *parsed;
    one.currency = json.value("currency", "");
    return one;
}

// As hyperd tells it.
Decision decision_of(const Json& json) {
    Decision decision;
    decision.job = json.at("job");
    for (auto action : {Action::wait, Action::run, Action::go_on, Action::suspend, Action::cancel, Action::none})
        if (json.at("action") == scheduler::action_name(action)) decision.action = action;
    for (int cause = 0; cause <= static_cast<int>(Cause::nothing); cause++)
        if (json.at("cause") == scheduler::cause_name(static_cast<Cause>(cause))) decision.cause = static_cast<Cause>(cause);
    decision.explanation = json.at("why");
    decision.at = instant_of(json.at("at"));
    if (json.at("period").is_string()) decision.period = json.at("period");
    decision.deadline = instant_of(json.at("deadline")), decision.last_start = instant_of(json.at("last_start"));
    decision.at_risk = json.at("at_risk");
    const Json& expected = json.at("expected");
    decision.size.bytes = expected.at("bytes"), decision.size.measured = expected.at("measured");
    decision.size.length = Seconds(expected.at("seconds").get<int64_t>()), decision.size.length_p95 = Seconds(expected.at("seconds_p95").get<int64_t>());
    for (const Json& one : json.at("alternatives")) decision.alternatives.push_back(alternative_of(one));
    decision.issues = json.at("forecasts");
    for (const Json& note : json.at("notes")) decision.notes.push_back(note);
    return decision;
}

Result<int> plan_of_hyperd(const PlanOptions& options) {
    Json answer = TRY(options.hyperd.ask("GET", "/v1/plan"));
    std::vector<Decision> decisions;
    for (const Json& json : answer.at("decisions")) decisions.push_back(decision_of(json));
    return print(decisions, options, {{"now", instant_text(std::chrono::floor<Seconds>(std::chrono::system_clock::now()))}});
}

Result<int> plan(const PlanOptions& options) {
    if (options.config.empty()) return read_answers_of("hyperd", [&] { return plan_of_hyperd(options); });
    auto config = TRY(scheduler::read_config(options.config));
    for (const std::string& warning : config.warnings) fmt::print(stderr, "hyperctl: {}\n", printable(warning));
    Instant now = std::chrono::floor<Seconds>(std::chrono::system_clock::now());
    if (!options.now.empty()) now = TRY(parse_instant(options.now));
    auto known = TRY(read_state(options.state, now, config));
    const std::string table = options.table.empty() ? config.carbon_table : options.table;
    auto trace = TRY(read_trace(config, table, ""));
    if (!config.feeds.empty()) fmt::print(stderr, "hyperctl: [feeds] are asked by hyperd only; without CONFIG this tells its plan\n");
    carbon::AverageSignals signals({}, nullptr, options.seed);
    std::map<std::string, scheduler::ZoneOutlook> average, marginal;
    for (const auto& entry : trace.measured) {
        TRY(signals.add_zone(entry.first, carbon::AverageSeries(entry.second)));
        average[entry.first] = scheduler::zone_outlook(signals, entry.first, now);
        marginal[entry.first].notes.push_back(fmt::format("zone {} (marginal): the table tells average intensities, and they are not taken instead", entry.first));
    }
    auto costs = TRY(scheduler::Costs::load(config));
    costs.add_power(average, now);
    costs.add_power(marginal, now);
    const auto expected = costs.expected(config, known.states, known.measures, known.used, now);
    auto decisions = scheduler::decide({config, known.states, average, marginal, known.measures, expected.money, known.used, now, options.seed});
    scheduler::say_unknown(decisions, expected);
    return print(decisions, options, {{"now", instant_text(now)}, {"seed", options.seed}});
}

}  // namespace

void add_plan(CLI::App& app, Command& chosen) {
    auto* command = app.add_subcommand("plan", "Tell when each job runs next, and why: as hyperd plans it, or of a configuration and from files");
    auto options = std::make_shared<PlanOptions>();
    options->hyperd.add_to(*command);
    auto* config = command->add_option("CONFIG", options->config, "hyperd's configuration, TOML; without it a running hyperd is asked");
    auto add = [&](const char* name, auto& into, const char* help, const char* type) { command->add_option(name, into, help)->type_name(type)->needs(config); };
    add("--trace", options->table, "intensities, instead of the configuration's carbon_table", "TABLE.csv");
    add("--state", options->state, "the state folder; without one all jobs are new", "FOLDER");
    add("--now", options->now, "plan as at that time", "INSTANT");
    add("--seed", options->seed, "chooses among starts that are equally good (default 1)", "N");
    command->add_flag("--explain", options->explain, "print why, with the alternatives in grams and money");
    command->add_flag("--json", options->json, "print JSON");
    command->callback([options, &chosen] { chosen.run = [options](Engine&) { return plan(*options); }; });
}

}  // namespace hyper::ctl
