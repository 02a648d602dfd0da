// SPDX-License-Identifier: Apache-2.0
// The jobs of a running hyperd: asks its socket.
#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <thread>

#include "scheduler/hyperd/paths.h"
#include "tools/hyperctl/command.h"
#include "tools/hyperctl/hyperd_client.h"
#include "tools/hyperctl/table.h"

namespace hyper::ctl {

namespace {

struct JobCommand {
    HyperdClient hyperd;
    std::string name, source, volume, policy, rpo, every, timezone, from, period;
    bool paused = false, json = false;
    uint64_t limit = 0;
};

std::string text_of(const Json& value, const char* otherwise = "-") { return value.is_string() ? value.get<std::string>() : otherwise; }

std::string progress_text(const Json& job) {
    const Json& progress = job.at("progress");
    if (!progress.is_object() || progress.at("total_bytes") == 0) return "";
    double done = progress.at("done_bytes").get<double>(), total = progress.at("total_bytes").get<double>();
    return fmt::format("{:.0f} % of {}", 100 * done / total, human_bytes(progress.at("total_bytes").get<uint64_t>()));
}

std::string target(const JobCommand& options, const std::string& action = "") { return "/v1/jobs/" + http::path_text(options.name) + action; }

Result<int> list(const JobCommand& options) {
    Json answer = TRY(options.hyperd.ask("GET", "/v1/jobs"));
    if (options.json) {
        print_json(answer.at("jobs"));
        return exit_ok;
    }
    Table table({"JOB", "PHASE", "NEXT START", "LAST SUCCESS", ">GENERATION", "PROGRESS", "WHY"});
    for (const Json& job : answer.at("jobs"))
        table.add({job.at("name"), job.at("phase"), text_of(job.at("next_start")), text_of(job.at("last_success")), text_of(job.at("last_generation")), progress_text(job), job.at("why")});
    table.print();
    return exit_ok;
}

void print_job(const Json& job) {
    auto line = [](std::string_view name, const std::string& value) { fmt::print("{:<16}{}\n", fmt::format("{}:", name), printable(value)); };
    line("job", job.at("name"));
    line("source", job.at("source"));
    line("volume", job.at("volume"));
    line("policy", text_of(job.at("policy")));
    line("rpo", job.at("rpo_seconds").is_null() ? "-" : fmt::format("{} s", job.at("rpo_seconds").get<int64_t>()));
    line("every", text_of(job.at("every")));
    line("time zone", job.at("timezone"));
    line("defined in", job.at("defined_in"));
    line("phase", job.at("phase"));
    line("why", job.at("why"));
    line("next start", text_of(job.at("next_start")));
    line("last success", text_of(job.at("last_success")));
    line("generation", text_of(job.at("last_generation")));
    if (std::string progress = progress_text(job); !progress.empty()) line("progress", progress);
}

Result<int> show(const JobCommand& options) {
    Json job = TRY(options.hyperd.ask("GET", target(options)));
    Json runs = TRY(options.hyperd.ask("GET", target(options, fmt::format("/runs?limit={}", options.limit))));
    if (options.json) {
        job["runs"] = runs.at("runs");
        print_json(job);
        return exit_ok;
    }
    print_job(job);
    if (runs.at("runs").empty()) return exit_ok;
    fmt::print("\n");
    Table table({"RUN", "PHASE", "STARTED", ">READ", ">CHANGED", ">SECONDS", ">GRAMS", ">AT ONCE", "CAUSE", "MESSAGE"});
    auto grams = [](const Json& estimate) { return estimate.is_null() ? std::string("-") : fmt::format("{:.3g}", estimate.at("middle").get<double>()); };
    for (const Json& run : runs.at("runs"))
        table.add({run.at("period"), run.at("phase"), text_of(run.at("started_at")), human_bytes(run.at("read_bytes").get<uint64_t>()),
                   human_bytes(run.at("changed_bytes").get<uint64_t>()), fmt::format("{:.1f}", run.at("seconds").get<double>()), grams(run.at("grams")),
                   grams(run.at("grams_at_once")), run.at("cause"), run.at("message")});
    table.print();
    return exit_ok;
}

Result<Json> definition_of(const JobCommand& options) {
    Json job = Json::object();
    if (!options.from.empty()) {
        std::ifstream file(options.from);
        if (!file) return fail(ENOENT, "{}: cannot be read", options.from);
        job = Json::parse(std::string(std::istreambuf_iterator<char>(file), {}), nullptr, false);
        if (!job.is_object()) return fail(EINVAL, "{}: is no JSON object", options.from);
    }
    auto set = [&](const char* key, const std::string& value) {
        if (!value.empty()) job[key] = value;
    };
    set("name", options.name);
    set("source", options.source);
    set("volume", options.volume);
    set("policy", options.policy);
    set("rpo", options.rpo);
    set("every", options.every);
    set("timezone", options.timezone);
    if (options.paused) job["paused"] = true;
    return job;
}

int tell(const JobCommand& options, const Json& job) {
    if (options.json)
        print_json(job);
    else
        fmt::print("{}: {}{}\n", printable(job.at("name").get<std::string>()), printable(job.at("phase").get<std::string>()),
                   job.at("why").empty() ? "" : ": " + printable(job.at("why").get<std::string>()));
    return exit_ok;
}

Result<int> add(const JobCommand& options) {
    Json definition = TRY(definition_of(options));
    return tell(options, TRY(options.hyperd.ask("POST", "/v1/jobs", definition.dump())));
}

Result<int> remove(const JobCommand& options) {
    Json answer = TRY(options.hyperd.ask("DELETE", target(options)));
    if (options.json)
        print_json(answer);
    else
        fmt::print("{}: deleted\n", printable(options.name));
    return exit_ok;
}

template <const char* action>
Result<int> ask(const JobCommand& options) {
    return tell(options, TRY(options.hyperd.ask("POST", target(options, std::string("/") + action))));
}

constexpr char run_word[] = "run", pause_word[] = "pause", resume_word[] = "resume", cancel_word[] = "cancel";

// Says so when it is: hyperd lets a sync some seconds to end in order.
Result<int> cancel(const JobCommand& options) {
    Json job = TRY(options.hyperd.ask("POST", target(options, "/cancel")));
    for (int i = 0; job.at("phase") == "running" && !interrupted() && i < 200; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        job = TRY(options.hyperd.ask("GET", target(options)));
    }
    return tell(options, job);
}

Result<int> logs(const JobCommand& options) {
    std::string query = options.period.empty() ? "" : "?period=" + http::path_text(options.period);
    Json log = TRY(options.hyperd.ask("GET", target(options, "/logs" + query)));
    if (options.json)
        print_json(log);
    else
        fmt::print("{}", log.at("text").get<std::string>());
    return exit_ok;
}

// Events as they come, until interrupted.
Result<int> watch(const JobCommand& options) {
    std::signal(SIGINT, SIG_DFL);  // there is nothing to be put in order, and nobody waits for the next event
    std::signal(SIGTERM, SIG_DFL);
    TRY(options.hyperd.follow([&](const Json& event) {
        if (!options.name.empty() && event.at("job") != options.name) return true;
        if (options.json)
            fmt::print("{}\n", event.dump(-1, ' ', false, Json::error_handler_t::replace));
        else
            fmt::print("{}  {:<14} {:<20} {}\n", event.at("at").get<std::string>(), event.at("kind").get<std::string>(), printable(text_of(event.at("job"))),
                       printable(event.at("body").dump(-1, ' ', false, Json::error_handler_t::replace)));
        std::fflush(stdout);
        return !interrupted();
    }));
    return exit_ok;
}

}  // namespace

void add_job(CLI::App& app, Command& chosen) {
    auto* job = app.add_subcommand("job", "Jobs of a running hyperd: when disks are synced");
    job->require_subcommand(1);
    auto add_one = [&](const char* name, const char* help, auto run) {
        auto* command = job->add_subcommand(name, help);
        auto options = std::make_shared<JobCommand>();
        options->hyperd.add_to(*command);
        command->add_flag("--json", options->json, "print JSON");
        command->callback([options, run, &chosen] {
            chosen.run = [options, run](Engine&) { return read_answers_of("hyperd", [&] { return run(*options); }); };
        });
        return std::pair(command, options);
    };
    add_one("list", "List the jobs, and where each stands", list);
    auto [adding, wish] = add_one("add", "Add a job", add);
    adding->add_option("NAME", wish->name, "of the job")->required();
    adding->add_option("SOURCE", wish->source, "the disk, as sync takes it");
    adding->add_option("VOLUME", wish->volume, "the volume, as sync takes it");
    adding->add_option("--policy", wish->policy, "one of the configuration")->type_name("POLICY");
    adding->add_option("--rpo", wish->rpo, "how old the newest generation may become: 24h")->type_name("DURATION");
    adding->add_option("--every", wish->every, "when it is due: \"OnCalendar=*-*-* 01:00\", \"0 1 * * *\"")->type_name("CALENDAR");
    adding->add_option("--timezone", wish->timezone, "of the calendar")->type_name("ZONE");
    adding->add_flag("--paused", wish->paused, "run nothing until it is resumed");
    adding->add_option("--from", wish->from, "a JSON object with more keys of a job")->type_name("FILE");
    auto named = [](auto pair) {
        pair.first->add_option("NAME", pair.second->name, "of the job")->required();
        return pair;
    };
    auto [showing, shown] = named(add_one("show", "Show a job and its last runs", show));
    shown->limit = 10;
    showing->add_option("--runs", shown->limit, "how many of them (10)")->type_name("N")->check(CLI::Range(0u, 1000u));
    named(add_one("delete", "Forget a job that was added; its volume stays", remove));
    named(add_one("run", "Run a job now", ask<run_word>));
    named(add_one("pause", "Run a job no more until it is resumed", ask<pause_word>));
    named(add_one("resume", "Undo a pause", ask<resume_word>));
    named(add_one("cancel", "End the run of a job, or give up the one that waits", cancel));
    auto [logging, logged] = named(add_one("logs", "Print what a run said", logs));
    logging->add_option("--run", logged->period, "which run, as show tells it (the newest)")->type_name("RUN");
    auto [watching, watched] = add_one("watch", "Print what happens, as it happens", watch);
    watching->add_option("NAME", watched->name, "only of this job");
}

}  // namespace hyper::ctl
