// SPDX-License-Identifier: Apache-2.0
// Traces of requests that hypernbd wrote: what is in one, and to do it again.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "nbdserver/watch/trace_format.h"
#include "tools/hyperctl/command.h"
#include "tools/hyperctl/replay.h"
#include "tools/hyperctl/table.h"

namespace hyper::ctl {

namespace {

struct TraceOptions {
    ReplayOptions replay;
    std::string speed = "as-recorded";
    bool json = false;
};

double seconds(uint64_t ns) {
    return static_cast<double>(ns) / 1e9;
}

Json json_of(const watch::Totals& totals) {
    return {{"requests", totals.requests},
            {"bytes", totals.bytes},
            {"errors", totals.errors},
            {"latency-ns",
             {{"mean", totals.mean_ns()},
              {"p50", totals.percentile_ns(0.5)},
              {"p90", totals.percentile_ns(0.9)},
              {"p99", totals.percentile_ns(0.99)}}}};
}

// In the order of their numbers.
std::vector<watch::Command> used(const watch::Statistics& statistics) {
    std::vector<watch::Command> commands;
    for (size_t i = 0; i < watch::command_count; ++i)
        if (statistics.commands[i].requests > 0) commands.push_back(static_cast<watch::Command>(i));
    return commands;
}

bool moves_bytes(watch::Command command) {
    return command == watch::Command::read || command == watch::Command::write;
}

// "12.3", with 10^6 bytes; "-" where none are moved.
std::string rate_text(uint64_t bytes, uint64_t ns, bool moves) {
    return ns == 0 || !moves
               ? "-"
               : fmt::format("{:.1f}", static_cast<double>(bytes) / 1e6 / seconds(ns));
}

Result<int> show_trace(const TraceOptions& options) {
    auto reader = TRY(watch::TraceReader::open(options.replay.trace));
    std::map<std::string, watch::Statistics> exports;
    std::set<uint64_t> clients;
    uint64_t first_ns = UINT64_MAX, end_ns = 0, requests = 0;
    while (auto entry = TRY(reader.next())) {
        const watch::TracedRequest& r = entry->request;
        exports[entry->export_name].commands[static_cast<size_t>(r.command)].count(
            r.length, r.latency_ns, r.error != 0);
        clients.insert(r.client_id);
        first_ns = std::min(first_ns, r.start_ns);
        end_ns = std::max(end_ns, r.start_ns + r.latency_ns);
        ++requests;
    }
    uint64_t took_ns = requests == 0 ? 0 : end_ns - first_ns;
    if (options.json) {
        Json json = {{"filename", options.replay.trace}, {"requests", requests},
                     {"left-out", reader.left_out()},    {"clients", clients.size()},
                     {"seconds", seconds(took_ns)},      {"exports", Json::object()}};
        for (const auto& [name, statistics] : exports)
            for (watch::Command command : used(statistics))
                json["exports"][name][std::string(command_name(command))] =
                    json_of(statistics[command]);
        print_json(json);
        return exit_ok;
    }
    fmt::print("requests: {}\nleft out: {}\nclients: {}\ntime: {}\n\n", requests, reader.left_out(),
               clients.size(), human_time(took_ns));
    Table table(
        {"EXPORT", "COMMAND", ">REQUESTS", ">BYTES", ">MB/s", ">ERRORS", ">MEAN", ">P50", ">P99"});
    for (const auto& [name, statistics] : exports)
        for (watch::Command command : used(statistics)) {
            const watch::Totals& totals = statistics[command];
            table.add(
                {name, std::string(command_name(command)), fmt::to_string(totals.requests),
                 human_bytes(totals.bytes), rate_text(totals.bytes, took_ns, moves_bytes(command)),
                 fmt::to_string(totals.errors), human_time(totals.mean_ns()),
                 human_time(totals.percentile_ns(0.5)), human_time(totals.percentile_ns(0.99))});
        }
    table.print();
    return exit_ok;
}

void print_replay_json(const TraceOptions& options, const Replayed& done) {
    Json json = {{"filename", options.replay.trace},
                 {"speed", options.speed},
                 {"connections", done.connections},
                 {"seconds", seconds(done.took_ns)},
                 {"recorded-seconds", seconds(done.recorded_ns)},
                 {"not-replayed", done.skipped},
                 {"left-out", done.left_out},
                 {"commands", Json::object()}};
    auto add = [&](const std::string& name, const watch::Totals& replayed,
                   const watch::Totals& recorded) {
        json["commands"][name] = {{"replayed", json_of(replayed)}, {"recorded", json_of(recorded)}};
    };
    for (watch::Command command : used(done.recorded))
        add(std::string(command_name(command)), done.replayed[command], done.recorded[command]);
    add("total", done.replayed.sum(), done.recorded.sum());
    print_json(json);
}

void print_replay(const Replayed& done) {
    Table table({"COMMAND", "", ">REQUESTS", ">BYTES", ">ERRORS", ">SECONDS", ">MB/s", ">MEAN",
                 ">P50", ">P90", ">P99"});
    auto add = [&](std::string_view name, const char* what, const watch::Totals& totals,
                   uint64_t took_ns, bool moves) {
        table.add({std::string(name), what, fmt::to_string(totals.requests),
                   human_bytes(totals.bytes), fmt::to_string(totals.errors),
                   fmt::format("{:.3f}", seconds(took_ns)), rate_text(totals.bytes, took_ns, moves),
                   human_time(totals.mean_ns()), human_time(totals.percentile_ns(0.5)),
                   human_time(totals.percentile_ns(0.9)), human_time(totals.percentile_ns(0.99))});
    };
    auto add_both = [&](std::string_view name, const watch::Totals& replayed,
                        const watch::Totals& recorded, bool moves) {
        add(name, "replayed", replayed, done.took_ns, moves);
        add("", "recorded", recorded, done.recorded_ns, moves);
    };
    for (watch::Command command : used(done.recorded))
        add_both(command_name(command), done.replayed[command], done.recorded[command],
                 moves_bytes(command));
    add_both("total", done.replayed.sum(), done.recorded.sum(), true);
    table.print();
    if (done.skipped > 0)
        fmt::print(
            "not replayed, since they failed when they were recorded or the server has no such "
            "command: {}\n",
            done.skipped);
    if (done.left_out > 0)
        fmt::print("left out of the trace when it was recorded: {}\n", done.left_out);
}

Result<int> replay(const TraceOptions& options) {
    Replayed done = TRY(replay_trace(options.replay));
    options.json ? print_replay_json(options, done) : print_replay(done);
    return done.replayed.sum().errors == 0 ? exit_ok : exit_partial;
}

}  // namespace

void add_trace(CLI::App& app, Command& chosen) {
    auto* command = app.add_subcommand(
        "trace", "Tell about a trace of requests that hypernbd wrote, or replay it");
    command->require_subcommand(1);
    auto options = std::make_shared<TraceOptions>();

    auto* show = command->add_subcommand("show", "Sum up a trace");
    show->add_option("FILE", options->replay.trace, "the trace")->required();
    show->add_flag("--json", options->json, "print JSON");
    show->callback(
        [options, &chosen] { chosen.run = [options](Engine&) { return show_trace(*options); }; });

    auto* again =
        command->add_subcommand("replay", "Send the requests of a trace to an NBD server");
    again->add_option("FILE", options->replay.trace, "the trace")->required();
    again->add_option("URI", options->replay.uri, "the export to send them to")->required();
    again
        ->add_option("--speed", options->speed,
                     "as-recorded (the default), or max: without the pauses")
        ->check(CLI::IsMember({"as-recorded", "max"}));
    again
        ->add_option("-c,--connections", options->replay.connections,
                     "how many (else one for each client, 16 at most)")
        ->check(CLI::Range(1u, ReplayOptions::connections_max));
    again
        ->add_option("--export", options->replay.export_name,
                     "only requests on this export of the trace")
        ->type_name("NAME");
    again->add_flag("--rw", options->replay.writable,
                    "replay writes too: they overwrite what is on the disk");
    again->add_flag("--json", options->json, "print JSON");
    again->callback([options, &chosen] {
        options->replay.at_full_speed = options->speed == "max";
        chosen.run = [options](Engine&) { return replay(*options); };
    });
}

}  // namespace hyper::ctl
