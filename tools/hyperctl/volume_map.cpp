// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>

#include "tools/hyperctl/extent_list.h"
#include "tools/hyperctl/table.h"
#include "tools/hyperctl/volume_changes.h"
#include "tools/hyperctl/volume_command.h"
#include "tools/hyperctl/volume_operand.h"

namespace hyper::ctl {

namespace {

struct MapOptions {
    VolumeRoot root;
    std::string name;
    bool json = false;
};

// Of a part of the disk.
Result<void> list_extents(const Source& source, uint64_t offset, uint64_t length, ExtentList& list) {
    TRY(visit_extents(source, offset, length, [&](const Extent& extent) {
        list.add(extent);
        return !interrupted();
    }));
    if (interrupted()) return fail(EINTR, "interrupted");
    return {};
}

Result<int> map(Engine& engine, const MapOptions& options) {
    auto operand = TRY(options.root.operand(options.name));
    auto volume = TRY(operand.open(engine));
    size_t dots = operand.generation.find("..");
    if (dots == std::string::npos) {
        auto generation = TRY(volume->find(operand.generation));
        auto source = TRY(volume->open_generation(generation));
        ExtentList list(options.json);
        TRY(list_extents(*source, 0, source->size_bytes(), list));
        list.end(human_bytes(source->size_bytes()));
        return exit_ok;
    }
    auto changes = TRY(changes_between(volume, operand.generation.substr(0, dots), operand.generation.substr(dots + 2)));
    auto source = TRY(volume->open_generation(changes.newer));
    ExtentList list(options.json);
    for (const ChangedRun& run : changes.runs) {
        if (run.offset >= source->size_bytes()) break;
        TRY(list_extents(*source, run.offset, std::min(run.length, source->size_bytes() - run.offset), list));
    }
    list.end(human_bytes(changes.bytes) + " that changed");
    return exit_ok;
}

}  // namespace

void add_volume_map(CLI::App& volume, Command& chosen) {
    auto* command = volume.add_subcommand("map", "Show where a generation, or what changed up to it, has data and where holes");
    auto options = std::make_shared<MapOptions>();
    command->add_option("VOLUME", options->name, "VOLUME[@GENERATION], or VOLUME@FROM..TO for what changed")->required();
    options->root.add_to(*command);
    command->add_flag("--json", options->json, "print JSON, of the shape of qemu-img map");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return map(engine, *options); };
    });
}

}  // namespace hyper::ctl
