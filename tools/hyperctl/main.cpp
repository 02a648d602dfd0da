// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <atomic>
#include <csignal>
#include <cstdio>

#include "providers/connection.h"
#include "tools/hyperctl/command.h"
#include "tools/hyperctl/table.h"

namespace hyper::ctl {

namespace {

std::atomic<bool> stop_asked{false};

void on_signal(int) { stop_asked = true; }

void catch_signals() {
    struct sigaction action{};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESETHAND;  // the second one ends the process at once
    ::sigaction(SIGINT, &action, nullptr);
    ::sigaction(SIGTERM, &action, nullptr);
}

int report(const std::string& message, int code) {
    fmt::print(stderr, "hyperctl: {}\n", printable(message));
    return code;
}

int main_of(int argc, char** argv) {
    CLI::App app("Tells about disk images and their views, checks, compares and exports them, keeps them in volumes, and "
                 "watches a running hypernbd. See hyperctl(1).",
                 "hyperctl");
    app.set_version_flag("--version", "hyperctl " HYPER_VERSION);
    app.require_subcommand(1);
    app.fallthrough(false);
    Command chosen;
    add_cleanup(app, chosen);
    add_job(app, chosen);
    add_list(app, chosen);
    add_info(app, chosen);
    add_map(app, chosen);
    add_check(app, chosen);
    add_compare(app, chosen);
    add_cost(app, chosen);
    add_export(app, chosen);
    add_plan(app, chosen);
    add_provider(app, chosen);
    add_push(app, chosen);
    add_restore(app, chosen);
    add_root(app, chosen);
    add_simulate(app, chosen);
    add_sync(app, chosen);
    add_trace(app, chosen);
    add_volume(app, chosen);
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& help_or_version) {
        return app.exit(help_or_version);
    } catch (const CLI::ParseError& error) {
        return report(std::string(error.what()) + " (try --help)",
                      app.got_subcommand("compare") ? exit_compare_error : exit_error);
    }
    catch_signals();
    Engine engine;
    auto code = chosen.run(engine);
    end_providers();
    if (!code && interrupted()) return report("interrupted", exit_interrupted);
    if (!code) return report(code.error().message, chosen.code_of_error);
    if (std::fflush(stdout) != 0) return report("cannot write to standard output", chosen.code_of_error);
    return *code;
}

}  // namespace

void print_json(const Json& json) {
    fmt::print("{}\n", json.dump(4, ' ', false, Json::error_handler_t::replace));
}

Result<int> read_answers_of(const char* whose, const std::function<Result<int>()>& run) {
    try {
        return run();
    } catch (const Json::exception& error) {
        return fail(EPROTO, "the answer of {} is not understood: {}", whose, error.what());
    }
}

bool interrupted() { return stop_asked; }

}  // namespace hyper::ctl

int main(int argc, char** argv) { return hyper::ctl::main_of(argc, argv); }
