// SPDX-License-Identifier: Apache-2.0
#include "tools/hyperctl/operand.h"

#include <cerrno>
#include <filesystem>

#include "convert/remote/remote.h"

namespace hyper::ctl {

namespace fs = std::filesystem;

namespace {

// The format of a view, by its name. The extent of a monolithicFlat is the raw disk.
Format format_of_view(std::string_view name) {
    if (name.ends_with("-flat.vmdk")) return Format::raw;
    return format_of_file_name(name).value_or(Format::raw);
}

}  // namespace

void OperandOptions::add_to(CLI::App& command, bool with_view) {
    command.add_option("-f,--format", format_, "format of the image file (else its name's suffix decides)")
        ->type_name("FORMAT");
    command.add_option("-s,--spec", specs_, "work on names of these disks: an image file or a directory of images")
        ->type_name("SPEC")
        ->expected(1)
        ->take_all()
        ->allow_extra_args(false);
    command.add_option("--allow", allowed_dirs_, "a folder that images may refer to, besides their own")
        ->type_name("DIR")
        ->expected(1)
        ->take_all()
        ->allow_extra_args(false);
    root_.add_to(command);
    add_provider_settings(command);
    if (with_view)
        command.add_option("--as", as_, "work on this view of the image: vmdk, streamOptimized.vmdk, azure.vhd, ...")
            ->type_name("VIEW");
}

Result<std::optional<std::pair<std::string, OpenOptions>>> OperandOptions::file_of(const std::string& name,
                                                                                   const std::string& format) const {
    OpenOptions options;
    options.allowed_dirs = allowed_dirs_;
    options.remote = remote_;
    if (!format.empty()) {
        options.format = parse_format(format);
        if (!options.format)
            return fail(EINVAL, "format \"{}\" is not known (try raw, qcow2, vmdk, vhd or vhdx)", format);
    }
    if (is_remote(name)) return std::pair(name, options);
    std::error_code ignored;
    auto is_file = [&](const std::string& path) { return fs::exists(path, ignored) && !fs::is_directory(path, ignored); };
    if (is_file(name)) return std::pair(name, options);
    size_t at = name.rfind('@');
    if (at != std::string::npos && at > 0 && is_file(name.substr(0, at))) {
        options.snapshot = name.substr(at + 1);
        return std::pair(name.substr(0, at), options);
    }
    auto volume = root_.operand(name);
    if (volume && is_volume(volume->folder)) {
        options.snapshot = volume->generation;
        return std::pair(volume->folder, options);
    }
    // Another folder, which opening it will say.
    if (fs::exists(name, ignored)) return std::pair(name, options);
    return std::nullopt;
}

Result<std::optional<Operand>> OperandOptions::open_name(Engine& engine, const std::string& name) const {
    CatalogOptions options;
    options.open.allowed_dirs = allowed_dirs_;
    if (!format_.empty()) options.open.format = parse_format(format_);
    auto catalog = TRY(Catalog::open(engine, specs_, options));
    auto image = catalog->open_disk(name);
    if (image) return Operand{name, *image, nullptr, Format::raw};
    if (image.error().code != ENOENT) return tl::unexpected(image.error());
    auto view = catalog->open_export(name);
    if (view) return Operand{name, nullptr, *view, format_of_view(name)};
    std::error_code ignored;
    if (view.error().code == ENOENT && fs::exists(name, ignored)) return std::nullopt;
    return tl::unexpected(view.error());
}

Result<Operand> OperandOptions::open(Engine& engine, const std::string& name) const {
    return open(engine, name, format_);
}

Result<Operand> OperandOptions::open(Engine& engine, const std::string& name, const std::string& format) const {
    auto file = TRY(file_of(name, format));
    Operand operand{name, nullptr, nullptr, Format::raw};
    if (!specs_.empty()) {
        if (auto named = TRY(open_name(engine, name))) operand = std::move(*named);
    }
    if (!operand.image && !operand.view) {
        if (!file) return fail(ENOENT, "{}: there is no such file or volume", name);
        operand.image = TRY(open_image(engine, file->first, file->second));
    }
    if (as_.empty()) return operand;
    if (!operand.image) return fail(EINVAL, "{}: is a view already; --as goes with a disk", name);
    auto wish = TRY(parse_view_suffix("." + as_));
    if (!wish)
        return fail(EINVAL, "--as {}: not a view (try qcow2, streamOptimized.vmdk, azure.vhd, ...)", as_);
    fs::path path(operand.image->path());
    std::string file_name = std::string(strip_format_suffix(path.filename().string())) + "." + as_;
    operand.view_format = format_of_view(file_name);
    operand.view = TRY(open_wish(engine, *wish, operand.image, std::move(file_name)));
    return operand;
}

}  // namespace hyper::ctl
