// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "tools/hyperctl/volume_command.h"
#include "tools/hyperctl/volume_operand.h"

namespace hyper::ctl {

namespace {

struct PinOptions {
    VolumeRoot root;
    std::string name;
};

Result<int> set_pinned(Engine& engine, const PinOptions& options, bool pinned) {
    auto operand = TRY(options.root.operand(options.name));
    if (operand.generation.empty()) return fail(EINVAL, "{}: say which generation, as {}@41", operand.name, operand.name);
    auto writer = TRY(operand.open_to_write(engine));
    auto generation = TRY(writer->volume()->find(operand.generation));
    if (generation.pinned != pinned) TRY(writer->set_pinned(generation.number, pinned));
    return exit_ok;
}

void add(CLI::App& volume, Command& chosen, const char* name, const char* help, bool pinned) {
    auto* command = volume.add_subcommand(name, help);
    auto options = std::make_shared<PinOptions>();
    command->add_option("VOLUME@GENERATION", options->name, "the generation")->required();
    options->root.add_to(*command);
    command->callback([options, &chosen, pinned] {
        chosen.run = [options, pinned](Engine& engine) { return set_pinned(engine, *options, pinned); };
    });
}

}  // namespace

void add_volume_pin(CLI::App& volume, Command& chosen) {
    add(volume, chosen, "pin", "Keep a generation whatever the rules of prune say", true);
    add(volume, chosen, "unpin", "Leave a generation to the rules of prune again", false);
}

}  // namespace hyper::ctl
