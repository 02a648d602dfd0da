// SPDX-License-Identifier: Apache-2.0
// Which providers there are, what they find, and which build of one a running hypernbd uses.
#include <fmt/format.h>

#include <cerrno>

#include "nbdserver/watch/control_client.h"
#include "providers/connection.h"
#include "providers/registry.h"
#include "tools/hyperctl/command.h"
#include "tools/hyperctl/table.h"

namespace hyper::ctl {

namespace {

struct ProviderCommand {
    std::string what, control;
    std::vector<std::string> settings;
    bool json = false;
};

Result<int> list(const ProviderCommand& options) {
    auto found = Registry::instance().all();
    Json json = Json::array();
    Table table({"NAME", "VERSION", "URIS", "DESCRIPTION", "MODULE"});
    std::string problems;
    for (const auto& one : found) {
        const hyper_provider* made = one.module ? &one.module->table() : nullptr;
        table.add({one.name, made ? made->version : "-", made ? made->schemes : "-", made ? made->description : "cannot be used", one.path});
        Json entry{{"name", one.name}, {"module", one.path}};
        if (made != nullptr) entry.update({{"version", made->version}, {"schemes", made->schemes}, {"description", made->description},
                                           {"options", made->options}});
        if (!one.problem.empty()) entry["problem"] = one.problem;
        if (!one.problem.empty()) problems += fmt::format("hyperctl: {}\n", printable(one.problem));
        json.push_back(std::move(entry));
    }
    options.json ? print_json(json) : table.print();
    std::fflush(stdout);
    fmt::print(stderr, "{}", problems);
    return problems.empty() ? exit_ok : exit_partial;
}

Result<std::shared_ptr<const Connection>> connect(const ProviderCommand& options) {
    auto module = TRY(Registry::instance().for_scheme(uri_scheme(options.what)));
    return Connection::open(module, options.what, Registry::instance().settings_of(module->name()));
}

Result<int> disks(const ProviderCommand& options) {
    auto connection = TRY(connect(options));
    Json json = Json::array();
    Table table({"DISK", ">SIZE", "CHANGES", "DETAIL"});
    for (const FoundRemoteDisk& disk : TRY(connection->list())) {
        table.add({disk.name, disk.size_bytes == 0 ? "-" : human_bytes(disk.size_bytes), disk.tracks_changes ? "tracked" : "-", disk.detail});
        json.push_back({{"name", disk.name}, {"size-bytes", disk.size_bytes}, {"tracks-changes", disk.tracks_changes}, {"detail", disk.detail}});
    }
    options.json ? print_json(json) : table.print();
    return exit_ok;
}

Result<int> check(const ProviderCommand& options) {
    if (uri_scheme(options.what).empty()) {
        Ledger none(state_folder() + "/ledger");
        auto module = TRY(Module::load(options.what, none));
        fmt::print("{}: provider {} {}: good\n", options.what, module->name(), module->table().version);
        return exit_ok;
    }
    auto connection = TRY(connect(options));
    Json json = Json::array();
    Table table({"VERDICT", "WHAT", "WHY"});
    hyper_verdict worst = HYPER_GOOD;
    for (const CheckFinding& finding : TRY(connection->check(connection->disk()))) {
        const char* verdict = finding.verdict == HYPER_GOOD ? "good" : finding.verdict == HYPER_DOUBTFUL ? "doubtful" : "bad";
        worst = std::max(worst, finding.verdict);
        table.add({verdict, finding.what, finding.text});
        json.push_back({{"verdict", verdict}, {"what", finding.what}, {"text", finding.text}});
    }
    options.json ? print_json(json) : table.print();
    return worst == HYPER_GOOD ? exit_ok : worst == HYPER_DOUBTFUL ? exit_check_warnings : exit_check_errors;
}

// What the control socket of a running server does with its own modules.
Result<int> ask_server(const ProviderCommand& options, const char* method, const std::string& action) {
    std::string socket_path = options.control.empty() ? watch::default_control_path() : options.control;
    std::string target = "/v1/providers/" + watch::path_text(options.what) + action;
    std::string body = TRY(watch::ask_control(socket_path, method, target));
    Json answer = Json::parse(body, nullptr, false);
    if (!answer.is_object() || !answer.contains("name"))
        return fail(EPROTO, "control socket {}: {}: the answer is no provider", socket_path, target);
    if (options.json)
        print_json(answer);
    else
        fmt::print("{} {}\n", printable(answer["name"].get<std::string>()), printable(answer.value("version", "unloaded")));
    return exit_ok;
}

}  // namespace

void add_provider(CLI::App& app, Command& chosen) {
    auto* provider = app.add_subcommand("provider", "Tell about the providers of disks that are far away, and change those of a running hypernbd");
    provider->require_subcommand(1);
    auto add = [&](const char* name, const char* help, const char* operand, const char* operand_help, auto run) {
        auto* command = provider->add_subcommand(name, help);
        auto options = std::make_shared<ProviderCommand>();
        if (operand != nullptr) command->add_option(operand, options->what, operand_help)->required();
        command->add_flag("--json", options->json, "print JSON");
        command->callback([options, run, &chosen] {
            chosen.run = [options, run](Engine&) { return run(*options); };
        });
        return std::pair(command, options);
    };
    add("list", "List the providers, with their versions and URIs", nullptr, nullptr, list);
    for (auto& [command, options] : {add("disks", "List the disks of a place", "URI", "of a server, an account or a bucket", disks),
                                     add("check", "Look whether a disk could be read now, or a module loaded", "URI", "of a disk or place, or a module's file", check)})
        add_provider_settings(*command);
    for (auto& [command, options] :
         {add("load", "Make a running hypernbd use a module", "MODULE", "the file of a module, as hypernbd sees it",
              [](const ProviderCommand& given) { return ask_server(given, "POST", "/load"); }),
          add("reload", "Make a running hypernbd look at a provider's module anew", "NAME", "of the provider",
              [](const ProviderCommand& given) { return ask_server(given, "POST", "/reload"); }),
          add("unload", "Make a running hypernbd use a provider for nothing new", "NAME", "of the provider",
              [](const ProviderCommand& given) { return ask_server(given, "DELETE", ""); })})
        command->add_option("--control", options->control, "control socket of the server")->type_name("SOCKET");
}

void add_provider_settings(CLI::App& command) {
    command
        .add_option_function<std::vector<std::string>>(
            "--provider",
            [](const std::vector<std::string>& settings) {
                for (const std::string& setting : settings)
                    if (auto set = Registry::instance().set(setting); !set) throw CLI::ValidationError(set.error().message);
            },
            "an option of a provider: s3.endpoint=https://...")
        ->type_name("NAME.KEY=VALUE")
        ->expected(1)
        ->take_all()
        ->allow_extra_args(false);
}

}  // namespace hyper::ctl
