// SPDX-License-Identifier: Apache-2.0
// What a running hypernbd exports, to whom, and how much went over; and ending its clients. Asks
// its control socket.
#include <fmt/format.h>

#include <cerrno>
#include <optional>

#include "nbdserver/watch/control_client.h"
#include "tools/hyperctl/command.h"
#include "tools/hyperctl/table.h"

namespace hyper::ctl {

namespace {

struct AdminOptions {
    std::string control;
    std::optional<std::string> name;
    std::optional<uint64_t> client;
    bool json = false;
};

Result<Json> ask(const AdminOptions& options, const std::string& method,
                 const std::string& target) {
    std::string socket_path =
        options.control.empty() ? watch::default_control_path() : options.control;
    std::string body = TRY(watch::ask_control(socket_path, method, target));
    Json answer = Json::parse(body, nullptr, false);
    if (!answer.is_object())
        return fail(EPROTO, "control socket {}: {}: the answer is no JSON object", socket_path,
                    target);
    return answer;
}

std::string access_text(bool writable) {
    return writable ? "read-write" : "read-only";
}

// What `command` moved, of the statistics of an export or client.
std::string bytes_text(const Json& statistics, const char* command) {
    return human_bytes(
        statistics.contains(command) ? statistics[command].at("bytes").get<uint64_t>() : 0);
}

std::string count_text(const Json& json, const char* key) {
    return fmt::to_string(json.at(key).get<uint64_t>());
}

void print_exports(const Json& exports) {
    Table table({"NAME", ">SIZE", "ACCESS", ">CLIENTS", ">REQUESTS", ">READ", ">WRITTEN", ">ERRORS",
                 "DESCRIPTION"});
    for (const Json& e : exports) {
        bool offered = e.at("offered");
        const Json& statistics = e.at("statistics");
        table.add({e.at("name"), offered ? human_bytes(e.at("size")) : "-",
                   offered ? access_text(!e.at("read-only")) : "gone", count_text(e, "clients"),
                   count_text(statistics.at("total"), "requests"), bytes_text(statistics, "read"),
                   bytes_text(statistics, "write"), count_text(statistics.at("total"), "errors"),
                   offered ? e.at("description").get<std::string>() : ""});
    }
    table.print();
}

void print_statistics(const Json& statistics) {
    Table table({"COMMAND", ">REQUESTS", ">BYTES", ">ERRORS", ">MEAN", ">P50", ">P90", ">P99"});
    for (const auto& [command, totals] : statistics.items()) {
        const Json& latency = totals.at("latency-ns");
        table.add({command, count_text(totals, "requests"), human_bytes(totals.at("bytes")),
                   count_text(totals, "errors"), human_time(latency.at("mean")),
                   human_time(latency.at("p50")), human_time(latency.at("p90")),
                   human_time(latency.at("p99"))});
    }
    table.print();
}

void print_clients(const Json& clients) {
    Table table({">CLIENT", "PEER", "IDENTITY", "TLS", "ACCESS", "SINCE", ">REQUESTS", ">READ",
                 ">WRITTEN", ">IN FLIGHT"});
    for (const Json& client : clients) {
        const Json& statistics = client.at("statistics");
        table.add({count_text(client, "id"), client.at("peer"), client.at("identity"),
                   client.at("tls") ? "yes" : "no", access_text(client.at("writable")),
                   client.at("since"), count_text(statistics.at("total"), "requests"),
                   bytes_text(statistics, "read"), bytes_text(statistics, "write"),
                   human_bytes(client.at("bytes-in-flight"))});
    }
    table.print();
}

void print_export(const Json& e) {
    fmt::print("name: {}\n", printable(e.at("name").get<std::string>()));
    if (e.at("offered"))
        fmt::print("size: {} ({} bytes)\naccess: {}\ndescription: {}\n", human_bytes(e.at("size")),
                   count_text(e, "size"), access_text(!e.at("read-only")),
                   printable(e.at("description").get<std::string>()));
    else
        fmt::print("no longer offered\n");
    fmt::print("clients: {}\n\n", count_text(e, "clients"));
    print_statistics(e.at("statistics"));
    if (e.at("clients-open").empty()) return;
    fmt::print("\n");
    print_clients(e.at("clients-open"));
}

Result<int> list_exports(const AdminOptions& options) {
    Json answer = TRY(ask(options, "GET", "/v1/exports"));
    options.json ? print_json(answer.at("exports")) : print_exports(answer.at("exports"));
    return exit_ok;
}

Result<int> show_export(const AdminOptions& options) {
    Json answer = TRY(ask(options, "GET", "/v1/exports/" + watch::path_text(*options.name)));
    options.json ? print_json(answer) : print_export(answer);
    return exit_ok;
}

Result<int> close_clients(const AdminOptions& options) {
    if (!options.client && !options.name)
        return fail(EINVAL, "export close: give the name of an export, or one client by --client");
    std::string target = options.client
                             ? fmt::format("/v1/clients/{}", *options.client)
                             : "/v1/exports/" + watch::path_text(*options.name) + "/clients";
    Json answer = TRY(ask(options, "DELETE", target));
    if (options.json)
        print_json(answer);
    else
        fmt::print("closed: {}\n", count_text(answer, "closed"));
    return exit_ok;
}

CLI::App* add(CLI::App& parent, const char* name, const char* help,
              const std::shared_ptr<AdminOptions>& options, Command& chosen,
              Result<int> (*run)(const AdminOptions&)) {
    auto* command = parent.add_subcommand(name, help);
    command->add_option("--control", options->control, "the control socket of hypernbd")
        ->type_name("PATH");
    command->add_flag("--json", options->json, "print JSON");
    command->callback([options, run, &chosen] {
        chosen.run = [options, run](Engine&) { return read_answers_of("the control socket", [&] { return run(*options); }); };
    });
    return command;
}

}  // namespace

void add_export_admin(CLI::App& export_command, Command& chosen) {
    auto options = std::make_shared<AdminOptions>();
    add(export_command, "list", "List the exports of a running hypernbd", options, chosen,
        list_exports);
    auto* show =
        add(export_command, "show", "Show an export of a running hypernbd, and its clients",
            options, chosen, show_export);
    show->add_option("NAME", options->name, "the export")->required();
    auto* close = add(export_command, "close", "End the clients of an export, or one", options,
                      chosen, close_clients);
    auto* client = close->add_option("--client", options->client,
                                     "only this client, by the number that show tells");
    auto* name = close->add_option("NAME", options->name, "the export whose clients end");
    name->excludes(client);
}

}  // namespace hyper::ctl
