// SPDX-License-Identifier: Apache-2.0
// Makes a machine of a generation: its disk as a file, and a definition of what was kept beside it.
#include <fmt/format.h>

#include <cerrno>
#include <filesystem>

#include "blockengine/base/hex.h"
#include "blockengine/volume/companions.h"
#include "catalog/export_name.h"
#include "providers/connection.h"
#include "providers/registry.h"
#include "tools/hyperctl/command.h"
#include "tools/hyperctl/data_walk.h"
#include "tools/hyperctl/table.h"
#include "tools/hyperctl/view_file.h"
#include "tools/hyperctl/volume_operand.h"

namespace hyper::ctl {

namespace {

struct RestoreOptions {
    VolumeRoot root;
    std::string volume, libvirt, name, to;
    bool progress = false, json = false;
};

Result<Format> format_of_machine(const std::string& path) {
    auto format = format_of_file_name(path);
    if (format == Format::raw || format == Format::qcow2) return *format;
    return fail(EINVAL, "--to {}: must end in .qcow2 or .raw", path);
}

Result<std::shared_ptr<const Connection>> connect(const RestoreOptions& options) {
    Registry& registry = Registry::instance();
    auto module = TRY(registry.for_scheme("libvirt"));
    ProviderOptions settings = registry.settings_of(module->name());
    if (!options.libvirt.empty()) settings.emplace_back("connect", options.libvirt);
    return Connection::open(module, "libvirt://", settings);
}

Result<uint64_t> write_disk(Engine& engine, const VolumeOperand& operand, const Generation& generation, Format format, const RestoreOptions& options) {
    OpenOptions open;
    open.snapshot = fmt::to_string(generation.number);
    auto image = TRY(open_image(engine, operand.folder, open));
    const ViewKind* kind = TRY(find_view_kind(format, ""));
    auto view = TRY(open_wish(engine, {kind, nullptr}, image, std::filesystem::path(options.to).filename().string(), 0));
    auto file = TRY(OutputFile::create(options.to, view->size_bytes(), false));
    Progress progress(options.progress, options.progress ? TRY(DataWalk({view.get()}).data_bytes()) : 0);
    uint64_t written = TRY(write_data_of(engine, *view, file, progress));
    TRY(file.sync());
    TRY(file.publish());
    return written;
}

Result<int> restore(Engine& engine, RestoreOptions& options) {
    auto operand = TRY(options.root.operand(options.volume));
    auto volume = TRY(operand.open(engine));
    auto generation = TRY(volume->find(operand.generation));
    Format format = TRY(format_of_machine(options.to));
    options.to = std::filesystem::absolute(options.to).lexically_normal().string();
    MachineWish wish{options.name, generation.origin.source, options.to, std::string(format_name(format)), {}, true};
    for (auto& [name, bytes] : TRY(read_companions(*volume, generation))) wish.companions.emplace_back(name, std::move(bytes));
    auto connection = TRY(connect(options));
    // Before a long copy is made for nothing.
    TRY(connection->define(wish));
    uint64_t written = TRY(write_disk(engine, operand, generation, format, options));
    wish.look_only = false;
    if (auto defined = connection->define(wish); !defined)
        return fail(defined.error().code, "{} ({} is whole, and stays)", defined.error().message, options.to);
    if (options.json)
        print_json({{"domain", options.name},
                    {"filename", options.to},
                    {"format", format_name(format)},
                    {"generation", generation.number},
                    {"root", hex(generation.root)},
                    {"bytes-written", written}});
    else
        fmt::print("domain {} is defined, with generation {} of {} in {}\n", printable(options.name), generation.number, printable(operand.name),
                   printable(options.to));
    return exit_ok;
}

}  // namespace

void add_restore(CLI::App& app, Command& chosen) {
    auto* command = app.add_subcommand("restore", "Make a machine of a generation, as it was when it was synced");
    auto options = std::make_shared<RestoreOptions>();
    command->add_option("VOLUME", options->volume, "VOLUME[@GENERATION]; the latest where none is named")->required();
    command->add_option("--libvirt", options->libvirt, "as a domain of this libvirt (qemu:///system)")->type_name("URI")->expected(0, 1)->required();
    command->add_option("--name", options->name, "of the new domain")->required();
    command->add_option("--to", options->to, "the file to write its disk to, .qcow2 or .raw")->type_name("FILE")->required();
    options->root.add_to(*command);
    add_provider_settings(*command);
    command->add_flag("-p,--progress", options->progress, "show progress");
    command->add_flag("--json", options->json, "print JSON");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return restore(engine, *options); };
    });
}

}  // namespace hyper::ctl
