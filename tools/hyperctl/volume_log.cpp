// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "tools/hyperctl/generation_text.h"
#include "tools/hyperctl/table.h"
#include "tools/hyperctl/volume_command.h"
#include "tools/hyperctl/volume_operand.h"

namespace hyper::ctl {

namespace {

struct LogOptions {
    VolumeRoot root;
    std::string name;
    bool json = false;
};

Result<int> log(Engine& engine, const LogOptions& options) {
    auto operand = TRY(options.root.operand(options.name));
    TRY(operand.refuse_generation());
    auto volume = TRY(operand.open(engine));
    Table table({">GENERATION", "TIME", ">SIZE", ">CHANGED", ">STORED", "ROOT", "PINNED", "SOURCE"});
    Json json = Json::array();
    for (const Generation& one : TRY(volume->generations())) {
        table.add({fmt::to_string(one.number), utc_text(one.time), human_bytes(one.size_bytes), human_bytes(one.changed_bytes),
                   human_bytes(one.stored_bytes), short_root(one.root), one.pinned ? "yes" : "", one.origin.source});
        json.push_back(json_of(one));
    }
    options.json ? print_json(json) : table.print();
    return exit_ok;
}

}  // namespace

void add_volume_log(CLI::App& volume, Command& chosen) {
    auto* command = volume.add_subcommand("log", "List the generations of a volume, oldest first");
    auto options = std::make_shared<LogOptions>();
    command->add_option("VOLUME", options->name, VolumeRoot::help)->required();
    options->root.add_to(*command);
    command->add_flag("--json", options->json, "print JSON");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return log(engine, *options); };
    });
}

}  // namespace hyper::ctl
