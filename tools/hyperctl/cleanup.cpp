// SPDX-License-Identifier: Apache-2.0
// Removes what processes that were killed left elsewhere: snapshots, checkpoints, jobs, uploads.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include "providers/connection.h"
#include "providers/registry.h"
#include "tools/hyperctl/command.h"
#include "tools/hyperctl/table.h"

namespace hyper::ctl {

namespace {

struct CleanupOptions {
    bool dry_run = false, json = false;
};

Result<void> clean(const LedgerEntry& entry) {
    Registry& registry = Registry::instance();
    auto module = TRY(registry.for_name(entry.provider));
    auto connection = TRY(Connection::open(module, entry.where, registry.settings_of(module->name())));
    TRY(connection->clean(entry.kind, entry.id));
    registry.ledger().forget(entry);
    return {};
}

Result<int> cleanup(const CleanupOptions& options) {
    Table table({"PROVIDER", "WHERE", "KIND", "ID", "MADE", "STATE"});
    Json json = Json::array();
    bool left = false;
    for (const LedgerEntry& entry : TRY(Registry::instance().ledger().entries())) {
        std::string state = "in use";
        if (Ledger::orphaned(entry)) {
            state = "left over";
            if (!options.dry_run) {
                auto done = clean(entry);
                state = done ? "removed" : "left over: " + done.error().message;
            }
            left |= state.starts_with("left over");
        }
        std::string time = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(entry.time_s)));
        table.add({entry.provider, entry.where, entry.kind, entry.id, time, state});
        json.push_back({{"provider", entry.provider}, {"where", entry.where}, {"kind", entry.kind}, {"id", entry.id}, {"time", time}, {"state", state}});
    }
    options.json ? print_json(json) : table.print();
    return left ? exit_partial : exit_ok;
}

}  // namespace

void add_cleanup(CLI::App& app, Command& chosen) {
    auto* command = app.add_subcommand("cleanup", "Remove what killed processes left at providers, as the ledger knows it");
    auto options = std::make_shared<CleanupOptions>();
    command->add_flag("-n,--dry-run", options->dry_run, "only tell what is left");
    add_provider_settings(*command);
    command->add_flag("--json", options->json, "print JSON");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine&) { return cleanup(*options); };
    });
}

}  // namespace hyper::ctl
