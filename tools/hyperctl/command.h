// SPDX-License-Identifier: Apache-2.0
// The frame of hyperctl: a file a command, each of which adds itself to the command line.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "blockengine/engine.h"

namespace hyper::ctl {

using Json = nlohmann::ordered_json;

// Exit codes, the same for all commands but compare, which has qemu-img's, and volume verify.
enum ExitCode {
    exit_ok = 0,
    exit_error = 1,
    exit_check_errors = 2,    // check, provider check: errors were found
    exit_check_warnings = 3,  // likewise: only warnings were
    exit_partial = 3,         // list, provider list: some cannot be served or used; cleanup: something is left; trace replay: some requests failed;
                              // cost import, compare: something was left out
    exit_corrupt = 2,         // volume verify, repair: something is not what was stored
    exit_could_not_tell = 3,  // volume verify, repair: something could not be read; also any error of verify
    exit_differs = 1,         // compare
    exit_compare_error = 2,   // compare
    exit_interrupted = 130,
};

// What the command line asked for; gives the exit code. Set by the parser.
struct Command {
    std::function<Result<int>(Engine&)> run;
    int code_of_error = exit_error;
};

void add_cleanup(CLI::App& app, Command& chosen);
void add_job(CLI::App& app, Command& chosen);
void add_list(CLI::App& app, Command& chosen);
void add_info(CLI::App& app, Command& chosen);
void add_map(CLI::App& app, Command& chosen);
void add_check(CLI::App& app, Command& chosen);
void add_compare(CLI::App& app, Command& chosen);
// import, estimate and compare, below the command `cost`.
void add_cost(CLI::App& app, Command& chosen);
void add_export(CLI::App& app, Command& chosen);
// export list, show and close, below the command `export`.
void add_export_admin(CLI::App& export_command, Command& chosen);
void add_plan(CLI::App& app, Command& chosen);
void add_provider(CLI::App& app, Command& chosen);
void add_push(CLI::App& app, Command& chosen);
void add_restore(CLI::App& app, Command& chosen);
void add_root(CLI::App& app, Command& chosen);
void add_simulate(CLI::App& app, Command& chosen);
void add_sync(CLI::App& app, Command& chosen);
void add_trace(CLI::App& app, Command& chosen);
// create, list, log, ... below the command `volume`.
void add_volume(CLI::App& app, Command& chosen);

// Adds --provider NAME.KEY=VALUE, for commands that may meet a disk of a provider.
void add_provider_settings(CLI::App& command);

// Prints it for programs; bytes that are not UTF-8 are replaced.
void print_json(const Json& json);

// Runs what reads answers of a server as JSON. Errors: EPROTO, with `whose` in it, for one that is not understood.
Result<int> read_answers_of(const char* whose, const std::function<Result<int>()>& run);

// True once SIGINT or SIGTERM came: long work ends soon and cleans up.
bool interrupted();

}  // namespace hyper::ctl
