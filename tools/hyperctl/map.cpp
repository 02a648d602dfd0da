// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cerrno>

#include "tools/hyperctl/command.h"
#include "tools/hyperctl/operand.h"
#include "tools/hyperctl/table.h"

namespace hyper::ctl {

namespace {

struct MapOptions {
    OperandOptions operands;
    std::string name;
    bool json = false;
};

// Printed as it is found: a map can be long. The JSON is of qemu-img map's shape.
Result<int> map(Engine& engine, const MapOptions& options) {
    auto operand = TRY(options.operands.open(engine, options.name));
    const Source& source = operand.source();
    uint64_t data_bytes = 0;
    bool first = true;
    if (!options.json) fmt::print("{:>16}  {:>16}  KIND\n", "OFFSET", "LENGTH");
    if (options.json) fmt::print("[");
    TRY(visit_extents(source, 0, source.size_bytes(), [&](const Extent& extent) {
        if (!extent.zero) data_bytes += extent.length;
        if (options.json)
            fmt::print("{}{{ \"start\": {}, \"length\": {}, \"present\": {}, \"zero\": {}, \"data\": {}}}",
                       first ? "" : ",\n", extent.offset, extent.length, !extent.zero, extent.zero, !extent.zero);
        else
            fmt::print("{:>16}  {:>16}  {}\n", extent.offset, extent.length, extent.zero ? "zero" : "data");
        first = false;
        return !interrupted();
    }));
    if (interrupted()) return fail(EINTR, "interrupted");
    if (options.json)
        fmt::print("]\n");
    else
        fmt::print("{} of {} are data\n", human_bytes(data_bytes), human_bytes(source.size_bytes()));
    return exit_ok;
}

}  // namespace

void add_map(CLI::App& app, Command& chosen) {
    auto* command = app.add_subcommand("map", "Show where a disk, or a view, has data and where holes");
    auto options = std::make_shared<MapOptions>();
    command->add_option("IMAGE", options->name, "FILE, FILE@SNAPSHOT, or a name of --spec's disks")->required();
    options->operands.add_to(*command, true);
    command->add_flag("--json", options->json, "print JSON, of the shape of qemu-img map");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return map(engine, *options); };
    });
}

}  // namespace hyper::ctl
