// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "tools/hyperctl/command.h"
#include "tools/hyperctl/extent_list.h"
#include "tools/hyperctl/operand.h"
#include "tools/hyperctl/table.h"

namespace hyper::ctl {

namespace {

struct MapOptions {
    OperandOptions operands;
    std::string name;
    bool json = false;
};

Result<int> map(Engine& engine, const MapOptions& options) {
    auto operand = TRY(options.operands.open(engine, options.name));
    const Source& source = operand.source();
    ExtentList list(options.json);
    TRY(visit_extents(source, 0, source.size_bytes(), [&](const Extent& extent) {
        list.add(extent);
        return !interrupted();
    }));
    if (interrupted()) return fail(EINTR, "interrupted");
    list.end(human_bytes(source.size_bytes()));
    return exit_ok;
}

}  // namespace

void add_map(CLI::App& app, Command& chosen) {
    auto* command = app.add_subcommand("map", "Show where a disk, or a view, has data and where holes");
    auto options = std::make_shared<MapOptions>();
    command->add_option("IMAGE", options->name, "FILE, FILE@SNAPSHOT, VOLUME[@GENERATION], or a name of --spec's disks")->required();
    options->operands.add_to(*command, true);
    command->add_flag("--json", options->json, "print JSON, of the shape of qemu-img map");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return map(engine, *options); };
    });
}

}  // namespace hyper::ctl
