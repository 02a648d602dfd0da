// SPDX-License-Identifier: Apache-2.0
#include "tools/hyperctl/data_walk.h"
#include "tools/hyperctl/sync_run.h"
#include "tools/hyperctl/volume_command.h"
#include "tools/hyperctl/volume_operand.h"

namespace hyper::ctl {

namespace {

struct CloneOptions {
    VolumeRoot root;
    std::string name, clone;
    bool progress = false, json = false;
};

Result<int> clone(Engine& engine, const CloneOptions& options) {
    auto operand = TRY(options.root.operand(options.name)), target = TRY(options.root.operand(options.clone));
    TRY(target.refuse_generation());
    auto volume = TRY(operand.open(engine));
    OpenOptions open;
    open.snapshot = fmt::to_string(TRY(volume->find(operand.generation)).number);
    auto image = TRY(open_image(engine, operand.folder, open));
    auto writer = TRY(options.root.create(engine, target, volume->info().options));
    SyncOptions how;
    how.threads = reader_threads();
    return run_sync(*writer, {image, "", image->changes(), TRY(companions_to_keep(*image))}, how, {target.name, options.progress, options.json});
}

}  // namespace

void add_volume_clone(CLI::App& volume, Command& chosen) {
    auto* command = volume.add_subcommand("clone", "Make another volume whose first generation is one of this");
    auto options = std::make_shared<CloneOptions>();
    command->add_option("VOLUME", options->name, "VOLUME[@GENERATION]; the latest where none is named")->required();
    command->add_option("NEW", options->clone, "the volume to make")->required();
    options->root.add_to(*command);
    command->add_flag("-p,--progress", options->progress, "show progress");
    command->add_flag("--json", options->json, "print JSON");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return clone(engine, *options); };
    });
}

}  // namespace hyper::ctl
