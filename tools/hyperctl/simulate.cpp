// SPDX-License-Identifier: Apache-2.0
// What a configuration's jobs would have done, emitted and cost over a trace, by the same decisions that hyperd makes.
#include <fmt/format.h>

#include <cerrno>
#include <cmath>
#include <fstream>

#include "scheduler/state/store.h"
#include "tools/hyperctl/command.h"
#include "tools/hyperctl/schedule_files.h"
#include "tools/hyperctl/schedule_plot.h"
#include "tools/hyperctl/schedule_text.h"
#include "tools/hyperctl/table.h"

namespace hyper::ctl {

namespace {

using scheduler::SimulatedJob;

struct SimulateCommand {
    std::string config, table, forecasts, state, from, to, length = "1h", svg;
    uint64_t seed = 1;
    bool json = false;
};

Json json_of(const SimulatedJob& job) {
    Json json = {{"runs", job.runs},
                 {"failed", job.failed},
                 {"skipped", job.skipped},
                 {"rpo-misses", job.rpo_misses},
                 {"suspensions", job.suspensions},
                 {"hours", job.hours},
                 {"settled-runs", job.settled},
                 {"grams", job.grams},
                 {"grams-at-once", job.at_once},
                 {"grams-foresight", job.foresight}};
    if (auto share = share_of_foresight(job)) json["share-of-foresight"] = *share;
    if (job.money) json["money"] = scheduler::money_text(*job.money), json["currency"] = job.currency;
    return json;
}

std::string share_text(const SimulatedJob& job) {
    auto share = share_of_foresight(job);
    return share ? fmt::format("{:.1f} %", *share * 100) : "-";
}

std::string saving_text(const SimulatedJob& job) {
    return job.at_once > 0 ? fmt::format("{:.1f} %", (1 - job.grams / job.at_once) * 100) : "-";
}

void print_report(const scheduler::Simulated& simulated) {
    Table table({"JOB", ">RUNS", ">FAILED", ">SKIPPED", ">RPO MISSES", ">HOURS", ">GRAMS", ">AT ONCE", ">SAVED", ">OF FORESIGHT", ">MONEY"});
    auto add = [&](const std::string& name, const SimulatedJob& job) {
        table.add({name, fmt::to_string(job.runs), fmt::to_string(job.failed), fmt::to_string(job.skipped), fmt::to_string(job.rpo_misses),
                   fmt::format("{:.1f}", job.hours), grams_text(job.settled > 0 ? job.grams : NAN), grams_text(job.settled > 0 ? job.at_once : NAN), saving_text(job),
                   share_text(job), job.money ? scheduler::money_text(*job.money) + " " + job.currency : "-"});
    };
    for (const auto& entry : simulated.jobs) add(entry.first, entry.second);
    add("(all)", simulated.total);
    table.print();
}

void print_report_json(const SimulateCommand& command, const scheduler::SimulateOptions& options, const scheduler::Simulated& simulated) {
    Json json = {{"from", instant_text(options.from)}, {"to", instant_text(options.until)}, {"seed", command.seed}, {"decisions", simulated.decisions},
                 {"jobs", Json::object()},             {"total", json_of(simulated.total)}, {"runs", Json::array()}};
    for (const auto& entry : simulated.jobs) json["jobs"][entry.first] = json_of(entry.second);
    for (const scheduler::SimulatedRun& run : simulated.runs) {
        Json one = {{"job", run.job}, {"period", run.period}, {"cause", run.cause}, {"earliest", instant_text(run.earliest)}};
        if (run.deadline) one["deadline"] = instant_text(*run.deadline);
        one["stretches"] = Json::array();
        for (const scheduler::TimeRange& stretch : run.stretches) one["stretches"].push_back({instant_text(stretch.from), instant_text(stretch.until)});
        one["attempts"] = run.attempts, one["succeeded"] = run.succeeded;
        if (run.grams) one["grams"] = *run.grams;
        if (run.at_once) one["grams-at-once"] = *run.at_once;
        if (run.foresight) one["grams-foresight"] = *run.foresight;
        json["runs"].push_back(std::move(one));
    }
    print_json(json);
}

// The time that all zones of the trace have, but for the first week, from which the profile learns.
Result<void> find_time(const SimulateCommand& command, const scheduler::Trace& trace, scheduler::SimulateOptions& options) {
    std::optional<Instant> first, last;
    for (const auto& entry : trace.measured) {
        first = std::max(first.value_or(entry.second.start()), entry.second.start());
        last = std::min(last.value_or(entry.second.end()), entry.second.end());
    }
    if (!first) return fail(EINVAL, "{}: it has no zone", command.table);
    options.from = command.from.empty() ? std::min(*last, *first + std::chrono::days(7)) : TRY(parse_instant(command.from));
    options.until = command.to.empty() ? *last : TRY(parse_instant(command.to));
    if (options.until <= options.from)
        return fail(EINVAL, "{}: nothing is left between {} and {}: the trace holds {} to {}, of which the first week is for learning; give --from", command.table,
                    instant_text(options.from), instant_text(options.until), instant_text(*first), instant_text(*last));
    return {};
}

Result<int> simulate(const SimulateCommand& command) {
    auto config = TRY(scheduler::read_config(command.config));
    for (const std::string& warning : config.warnings) fmt::print(stderr, "hyperctl: {}\n", printable(warning));
    auto trace = TRY(read_trace(config, command.table, command.forecasts));
    scheduler::SimulateOptions options;
    options.seed = command.seed;
    options.length = TRY(scheduler::parse_duration(command.length));
    TRY(find_time(command, trace, options));
    if (!command.state.empty()) {
        auto store = TRY(scheduler::Store::open(command.state, scheduler::Access::read));
        options.measures = TRY(store.measures());
    }
    auto simulated = TRY(scheduler::simulate(config, trace, options));
    if (!command.svg.empty()) {
        std::ofstream file(command.svg);
        file << plot_svg(config, trace, simulated, options.from, options.until);
        file.close();
        if (!file) return fail(EIO, "{}: write the plot: {}", command.svg, errno_text(errno));
    }
    command.json ? print_report_json(command, options, simulated) : print_report(simulated);
    return exit_ok;
}

}  // namespace

void add_simulate(CLI::App& app, Command& chosen) {
    auto* command = app.add_subcommand("simulate", "Replay a trace of carbon intensities with a configuration's jobs");
    auto options = std::make_shared<SimulateCommand>();
    command->add_option("CONFIG", options->config, "hyperd's configuration, TOML")->required();
    command->add_option("--trace", options->table, "intensities as measured: time, then a column a zone, in g/kWh")->type_name("TABLE.csv")->required();
    command->add_option("--forecasts", options->forecasts, "folder of ZONE.csv: issued, time, grams_per_kwh")->type_name("DIR");
    command->add_option("--state", options->state, "a state folder, for what was measured of disks")->type_name("FOLDER");
    command->add_option("--from", options->from, "begin then (else a week after the trace does)")->type_name("INSTANT");
    command->add_option("--to", options->to, "end then (else with the trace)")->type_name("INSTANT");
    command->add_option("--length", options->length, "how long a sync takes a day after the last one (default 1h)")->type_name("DURATION");
    command->add_option("--seed", options->seed, "of everything that is drawn (default 1)")->type_name("N");
    command->add_option("--svg", options->svg, "plot intensities and runs into FILE")->type_name("FILE");
    command->add_flag("--json", options->json, "print JSON");
    command->callback([options, &chosen] { chosen.run = [options](Engine&) { return simulate(*options); }; });
}

}  // namespace hyper::ctl
