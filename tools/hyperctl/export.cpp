// SPDX-License-Identifier: Apache-2.0
// Writes a view to a file: only its data, by several readers, and under its name only when it is whole.
#include <fmt/format.h>

#include <cerrno>
#include <filesystem>

#include "tools/hyperctl/command.h"
#include "tools/hyperctl/data_walk.h"
#include "tools/hyperctl/export_since.h"
#include "tools/hyperctl/operand.h"
#include "tools/hyperctl/output_file.h"
#include "tools/hyperctl/progress.h"
#include "tools/hyperctl/size.h"
#include "tools/hyperctl/table.h"
#include "tools/hyperctl/view_file.h"

namespace hyper::ctl {

namespace {

struct ExportOptions {
    OperandOptions operands;
    std::string source, destination;
    std::string format, subformat, profile, cluster_size, since;
    std::vector<std::string> qemu_options;  // "subformat=fixed", "cluster_size=2M"
    bool force = false, progress = false, json = false;
};

Result<void> take_qemu_options(ExportOptions& options) {
    for (const std::string& list : options.qemu_options) {
        for (size_t start = 0; start < list.size();) {
            size_t end = std::min(list.find(',', start), list.size()), equals = list.find('=', start);
            std::string item = list.substr(start, end - start);
            std::string key = equals < end ? list.substr(start, equals - start) : item;
            std::string value = equals < end ? list.substr(equals + 1, end - equals - 1) : "";
            if (key == "subformat")
                options.subformat = value;
            else if (key == "cluster_size")
                options.cluster_size = value;
            else
                return fail(EINVAL, "-o {}: not known (try subformat=... or cluster_size=...)", item);
            start = end + 1;
        }
    }
    return {};
}

// What to write, from --profile, -O and -o, or else the destination's suffix; they must not contradict one another.
Result<ViewWish> wish_of(const ExportOptions& options) {
    ViewWish wish;
    std::optional<Format> format, suffix = format_of_file_name(options.destination);
    if (!options.format.empty()) {
        format = parse_format(options.format);
        if (!format)
            return fail(EINVAL, "-O {}: not a format (try raw, qcow2, vmdk, vhd or vhdx)", options.format);
    }
    if (!options.profile.empty()) {
        wish.profile = find_profile(options.profile);
        if (wish.profile == nullptr) {
            std::string known;
            for (const Profile& profile : profiles()) known += (known.empty() ? "" : ", ") + std::string(profile.name);
            return fail(EINVAL, "--profile {}: not known (try {})", options.profile, known);
        }
        if (!options.subformat.empty() && options.subformat != wish.profile->subformat)
            return fail(EINVAL, "profile {} wants {} {}, not subformat {}", options.profile,
                        format_name(wish.profile->format), wish.profile->subformat, options.subformat);
        if (format && *format != wish.profile->format)
            return fail(EINVAL, "profile {} wants {}, not {}", options.profile, format_name(wish.profile->format),
                        format_name(*format));
        format = wish.profile->format;
    }
    if (!format && !suffix)
        return fail(EINVAL, "{}: its suffix names no format; choose one with -O", options.destination);
    if (!format) format = suffix;
    if (suffix && *suffix != *format)
        return fail(EINVAL, "{}: would be {}, but its suffix says {}; choose another name", options.destination,
                    format_name(*format), format_name(*suffix));
    if (wish.profile == nullptr) wish.kind = TRY(find_view_kind(*format, options.subformat));
    return wish;
}

// A file to write, and from what.
struct Part {
    std::shared_ptr<const Source> source;
    OutputFile file;
};

// monolithicFlat is two files: NAME.vmdk, which describes NAME-flat.vmdk. The extent comes first, since a
// descriptor without it would look whole.
Result<std::vector<Part>> parts_of(Engine& engine, const ExportOptions& options, const ViewWish& wish,
                                   const std::shared_ptr<const Image>& image) {
    uint64_t cluster_bytes = options.cluster_size.empty() ? 0 : TRY(parse_size(options.cluster_size));
    if (cluster_bytes != 0 && wish.format() != Format::qcow2)
        return fail(EINVAL, "cluster_size is for qcow2, not for {}", format_name(wish.format()));
    std::string path = options.destination;
    std::string file_name = std::filesystem::path(path).filename().string();
    auto view = TRY(open_wish(engine, wish, image, file_name, cluster_bytes));
    std::vector<Part> parts;
    if (wish.kind != nullptr && wish.kind->subformat == "monolithicFlat") {
        if (!path.ends_with(".vmdk"))
            return fail(EINVAL, "{}: a monolithicFlat VMDK is two files, so its name must end in .vmdk", path);
        ViewWish extent{TRY(find_view_kind(Format::vmdk, "monolithicFlat-flat")), nullptr};
        auto flat = TRY(open_wish(engine, extent, image, file_name));
        auto file = TRY(OutputFile::create(path.substr(0, path.size() - 5) + "-flat.vmdk", flat->size_bytes(),
                                           options.force));
        parts.push_back({std::move(flat), std::move(file)});
    }
    auto file = TRY(OutputFile::create(path, view->size_bytes(), options.force));
    parts.push_back({std::move(view), std::move(file)});
    return parts;
}

// What decides about a new file decides nothing about one that is there already.
Result<int> export_changes(Engine& engine, const ExportOptions& options) {
    bool raw = options.format.empty() || options.format == "raw";
    if (!raw || !options.subformat.empty() || !options.profile.empty() || !options.qemu_options.empty() || options.force)
        return fail(EINVAL, "--since writes onto a raw disk that is there: -O, -o, --subformat, --profile and --force do not go with it");
    auto operand = TRY(options.operands.open(engine, options.source));
    return export_since(engine, operand, {options.since, options.destination, options.progress, options.json});
}

Result<int> export_view(Engine& engine, ExportOptions& options) {
    if (!options.since.empty()) return export_changes(engine, options);
    TRY(take_qemu_options(options));
    ViewWish wish = TRY(wish_of(options));
    auto operand = TRY(options.operands.open(engine, options.source));
    if (!operand.image)
        return fail(EINVAL, "{}: is a view; name the disk, and the view with -O, -o or --profile", options.source);
    auto parts = TRY(parts_of(engine, options, wish, operand.image));

    uint64_t to_move = 0, written = 0, file_bytes = 0;
    if (options.progress)
        for (const Part& part : parts) to_move += TRY(DataWalk({part.source.get()}).data_bytes());
    {
        Progress progress(options.progress, to_move);
        for (Part& part : parts) {
            written += TRY(write_data_of(engine, *part.source, part.file, progress));
            file_bytes += part.source->size_bytes();
            TRY(part.file.sync());
        }
    }
    for (Part& part : parts) TRY(part.file.publish());
    if (options.json)
        print_json({{"filename", options.destination},
                    {"format", format_name(wish.format())},
                    {"virtual-size", operand.image->size_bytes()},
                    {"file-size", file_bytes},
                    {"bytes-written", written}});
    else if (options.progress)
        fmt::print(stderr, "{}: {}, of which {} written\n", options.destination, human_bytes(file_bytes),
                   human_bytes(written));
    return exit_ok;
}

}  // namespace

void add_export(CLI::App& app, Command& chosen) {
    auto* command = app.add_subcommand("export",
                                       "Write a disk to a file in the format that somebody wants; or list, show or "
                                       "close the exports of a running hypernbd");
    auto options = std::make_shared<ExportOptions>();
    command->add_option("SOURCE", options->source, "FILE, FILE@SNAPSHOT, VOLUME[@GENERATION], or a disk of --spec");
    command->add_option("DEST", options->destination, "the file to write (with --since: the disk to bring up to date)");
    options->operands.add_to(*command, false);
    command->add_option("-O,--output-format", options->format, "format to write (else DEST's suffix decides)")
        ->type_name("FORMAT");
    command->add_option("--subformat", options->subformat, "streamOptimized, fixed, ...");
    command->add_option("-o", options->qemu_options, "subformat=...,cluster_size=... as for qemu-img")
        ->type_name("OPTIONS")
        ->expected(1)
        ->take_all()
        ->allow_extra_args(false);
    command->add_option("--profile", options->profile,
                        "what a target wants: aws azure gcp oci openstack alibaba vsphere hyperv");
    command->add_option("--since", options->since,
                        "write only what changed since this generation of a volume, onto DEST, a raw disk or NBD URI that holds it")
        ->type_name("GENERATION");
    command->add_flag("--force", options->force, "overwrite DEST");
    command->add_flag("-p,--progress", options->progress, "show progress");
    command->add_flag("--json", options->json, "print JSON about what was written");
    add_export_admin(*command, chosen);
    // "list", "show" and "close" are commands wherever they stand, and SOURCE and DEST are required only without them.
    command->callback([command, options, &chosen] {
        if (!command->get_subcommands().empty()) {
            std::string name = command->get_subcommands()[0]->get_name();
            if (!options->source.empty())
                throw CLI::ExtrasError({options->source + " before " + name + "; a file of that name is ./" + name});
            return;
        }
        if (options->source.empty()) throw CLI::RequiredError("SOURCE");
        if (options->destination.empty()) throw CLI::RequiredError("DEST");
        chosen.run = [options](Engine& engine) { return export_view(engine, *options); };
    });
}

}  // namespace hyper::ctl
