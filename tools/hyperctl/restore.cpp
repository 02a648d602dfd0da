// SPDX-License-Identifier: Apache-2.0
// Makes a machine of a generation: its disk as a file, or a file over it, or all disks of one moment; and a definition of what was kept beside it.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <random>

#include "blockengine/base/hex.h"
#include "blockengine/base/log.h"
#include "blockengine/volume/companions.h"
#include "catalog/export_name.h"
#include "convert/qcow2/overlay.h"
#include "convert/remote/remote.h"
#include "providers/connection.h"
#include "providers/registry.h"
#include "tools/hyperctl/command.h"
#include "tools/hyperctl/data_walk.h"
#include "tools/hyperctl/table.h"
#include "tools/hyperctl/view_file.h"
#include "tools/hyperctl/volume_changes.h"
#include "tools/hyperctl/volume_operand.h"

namespace hyper::ctl {

namespace {

struct RestoreOptions {
    VolumeRoot root;
    std::string volume, libvirt, name, to, over;
    bool all_disks = false, progress = false, json = false;
};

// A disk that the machine gets.
struct RestoredDisk {
    VolumeOperand operand;
    std::shared_ptr<const Volume> volume;
    Generation generation;
    std::shared_ptr<const Image> image{};
    std::string to{};
    uint64_t written_bytes = 0;
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

Result<std::shared_ptr<const Image>> open_generation(Engine& engine, const RestoredDisk& disk) {
    OpenOptions open;
    open.snapshot = fmt::to_string(disk.generation.number);
    return open_image(engine, disk.operand.folder, open);
}

// The disks that were synced with this one, which are in volumes beside its own.
Result<std::vector<RestoredDisk>> disks_of_same_moment(Engine& engine, const RestoredDisk& named) {
    if (named.generation.run.empty())
        return fail(ENOENT, "{}@{}: was not synced with other disks at one moment (hyperctl sync --all-disks does that)", named.operand.name,
                    named.generation.number);
    const std::filesystem::path own = std::filesystem::canonical(named.operand.folder);
    std::vector<RestoredDisk> found;
    for (const auto& entry : std::filesystem::directory_iterator(own.parent_path())) {
        const std::string folder = entry.path().string();
        if (entry.path() == own || !is_volume(folder)) continue;
        auto volume = Volume::open(engine, folder);
        auto all = volume ? (*volume)->generations() : tl::unexpected(volume.error());
        if (!all) {
            log_warning("{}: may have been synced with it, but cannot be looked at: {}", folder, all.error().message);
            continue;
        }
        for (const Generation& one : *all)
            if (one.run == named.generation.run) found.push_back({{folder, folder, ""}, *volume, one});
    }
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.operand.folder < b.operand.folder; });
    return found;
}

// "web02.qcow2" of all disks is "web02-vda.qcow2" of the one in vda.volume.
std::string file_of_disk(const RestoreOptions& options, const VolumeOperand& operand) {
    std::filesystem::path file = std::filesystem::absolute(options.to).lexically_normal();
    if (options.all_disks)
        file.replace_filename(file.stem().string() + "-" + std::filesystem::path(operand.folder).stem().string() + file.extension().string());
    return file.string();
}

Result<std::vector<RestoredDisk>> disks_to_restore(Engine& engine, const RestoreOptions& options) {
    std::vector<RestoredDisk> disks(1);
    disks[0].operand = TRY(options.root.operand(options.volume));
    auto volume = TRY(disks[0].operand.open(engine));
    disks[0].generation = TRY(volume->find(disks[0].operand.generation));
    disks[0].volume = volume;
    if (options.all_disks)
        for (RestoredDisk& other : TRY(disks_of_same_moment(engine, disks[0]))) disks.push_back(std::move(other));
    for (RestoredDisk& disk : disks) {
        disk.image = TRY(open_generation(engine, disk));
        disk.to = file_of_disk(options, disk.operand);
        if (std::filesystem::exists(disk.to)) return fail(EEXIST, "{}: is there already", disk.to);
    }
    return disks;
}

// Where generations beside this one differ from it, of which a part is enough.
Result<std::vector<ChangedRun>> telling_runs(const std::shared_ptr<const Volume>& volume, const Generation& generation) {
    constexpr size_t runs_max = 64;
    constexpr uint64_t run_bytes_max = 64 * KiB;
    auto all = TRY(volume->generations());
    std::vector<ChangedRun> telling;
    for (size_t i = 0; i + 1 < all.size(); ++i) {
        if (all[i].number != generation.number && all[i + 1].number != generation.number) continue;
        auto changes = TRY(changes_between(volume, fmt::to_string(all[i].number), fmt::to_string(all[i + 1].number)));
        for (size_t run = 0; run < std::min(changes.runs.size(), runs_max); ++run)
            telling.push_back({changes.runs[run].offset, std::min(changes.runs[run].length, run_bytes_max)});
    }
    return telling;
}

// Names that do not say the generation show another one after the next sync.
Result<void> check_name(const std::string& over, uint32_t generation) {
    std::string_view name = over;
    if (is_remote(over)) name = name.substr(0, name.find('?'));
    if (name.ends_with(".raw")) name.remove_suffix(4);
    if (!name.ends_with(fmt::format("@{}", generation)))
        return fail(EINVAL, "--over {}: must end in @{}, since any other name shows another generation, if not today", over, generation);
    return {};
}

// Whether what a server or a mount shows is the generation, as far as samples tell: some where its neighbours differ from it, and some anywhere.
Result<void> check_backing(Engine& engine, const Source& disk, std::vector<ChangedRun> samples, const std::string& over) {
    constexpr unsigned random_samples = 256;
    constexpr uint64_t sample_bytes = 4096;
    OpenOptions open;
    open.format = Format::raw;
    auto backing = TRY(open_image(engine, over, open));
    const uint64_t size = disk.size_bytes();
    if (backing->size_bytes() != size)
        return fail(EINVAL, "--over {}: has {} bytes, and the generation {}: it is another disk", over, backing->size_bytes(), size);
    std::mt19937_64 draw(std::random_device{}());
    for (unsigned i = 0; size > 0 && i < random_samples; ++i) samples.push_back({draw() % size, sample_bytes});
    for (const ChangedRun& sample : samples) {
        if (sample.offset >= size) continue;
        Bytes first(std::min(sample.length, size - sample.offset)), second(first.size());
        TRY(engine.read(disk, sample.offset, first));
        TRY(engine.read(*backing, sample.offset, second));
        if (first != second)
            return fail(EINVAL, "--over {}: differs from the generation at offset {}: it is another disk, or another generation", over, sample.offset);
    }
    return {};
}

// The file that a machine writes to, where it reads the generation elsewhere.
Result<uint64_t> write_overlay(const RestoredDisk& disk, const RestoreOptions& options) {
    auto overlay = TRY(empty_qcow2_overlay(disk.image->size_bytes(), options.over, Format::raw));
    auto file = TRY(OutputFile::create(disk.to, overlay.size_bytes, false));
    TRY(file.write(0, overlay.head));
    TRY(file.sync());
    TRY(file.publish());
    return overlay.head.size();
}

Result<uint64_t> write_disk(Engine& engine, const RestoredDisk& disk, Format format, const RestoreOptions& options) {
    const ViewKind* kind = TRY(find_view_kind(format, ""));
    auto view = TRY(open_wish(engine, {kind, nullptr}, disk.image, std::filesystem::path(disk.to).filename().string(), 0));
    auto file = TRY(OutputFile::create(disk.to, view->size_bytes(), false));
    Progress progress(options.progress, options.progress ? TRY(DataWalk({view.get()}).data_bytes()) : 0);
    uint64_t written = TRY(write_data_of(engine, *view, file, progress));
    TRY(file.sync());
    TRY(file.publish());
    return written;
}

Json json_of(const RestoredDisk& disk, Format format) {
    return {{"volume", disk.operand.name},
            {"generation", disk.generation.number},
            {"root", hex(disk.generation.root)},
            {"filename", disk.to},
            {"format", format_name(format)},
            {"bytes-written", disk.written_bytes}};
}

Result<int> restore(Engine& engine, RestoreOptions& options) {
    Format format = TRY(format_of_machine(options.to));
    auto disks = TRY(disks_to_restore(engine, options));
    RestoredDisk& named = disks.front();
    if (!options.over.empty()) {
        if (format != Format::qcow2) return fail(EINVAL, "--to {}: must end in .qcow2 with --over", options.to);
        if (!is_remote(options.over)) options.over = std::filesystem::absolute(options.over).lexically_normal().string();
        TRY(check_name(options.over, named.generation.number));
        auto telling = TRY(telling_runs(named.volume, named.generation));
        TRY(check_backing(engine, *named.image, std::move(telling), options.over));
    }
    MachineWish wish{options.name, {}, {}, true};
    for (const RestoredDisk& disk : disks) wish.disks.push_back({disk.generation.origin.source, disk.to, std::string(format_name(format))});
    for (auto& [name, bytes] : TRY(read_companions(*named.volume, named.generation))) wish.companions.emplace_back(name, std::move(bytes));
    auto connection = TRY(connect(options));
    // Before a long copy is made for nothing.
    TRY(connection->define(wish));
    std::string whole;  // the files that stay, whatever fails
    auto failed = [&](const Error& error) {
        return whole.empty() ? fail(error.code, "{}", error.message) : fail(error.code, "{} (whole, and stays:{})", error.message, whole);
    };
    for (RestoredDisk& disk : disks) {
        auto written = options.over.empty() ? write_disk(engine, disk, format, options) : write_overlay(disk, options);
        if (!written) return failed(written.error());
        disk.written_bytes = *written;
        whole += " " + disk.to;
    }
    wish.look_only = false;
    if (auto defined = connection->define(wish); !defined) return failed(defined.error());
    if (options.json) {
        Json told = Json::array();
        for (const RestoredDisk& disk : disks) told.push_back(json_of(disk, format));
        print_json({{"domain", options.name}, {"disks", std::move(told)}});
        return exit_ok;
    }
    fmt::print("domain {} is defined, with\n", printable(options.name));
    for (const RestoredDisk& disk : disks)
        fmt::print("    generation {} of {} in {}\n", disk.generation.number, printable(disk.operand.name), printable(disk.to));
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
    auto* all = command->add_flag("--all-disks", options->all_disks, "besides, the disks that were synced with it at the same moment");
    command->add_option("--over", options->over, "copy nothing: FILE is a qcow2 overlay of the generation as hypernbd or hyperfs shows it there")
        ->type_name("URI|PATH")
        ->excludes(all);
    options->root.add_to(*command);
    add_provider_settings(*command);
    command->add_flag("-p,--progress", options->progress, "show progress");
    command->add_flag("--json", options->json, "print JSON");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return restore(engine, *options); };
    });
}

}  // namespace hyper::ctl
