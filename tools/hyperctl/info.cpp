// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>

#include "tools/hyperctl/command.h"
#include "tools/hyperctl/operand.h"
#include "tools/hyperctl/table.h"

namespace hyper::ctl {

namespace {

struct InfoOptions {
    OperandOptions operands;
    std::string name;
    bool json = false;
};

void print_fact(std::string_view name, std::string_view value, int indent) {
    fmt::print("{:{}}{:<20}{}\n", "", indent, printable(name) + ":", printable(value));
}

std::string bytes_text(uint64_t bytes) { return fmt::format("{} ({} bytes)", human_bytes(bytes), bytes); }

// Bytes that the file takes on its file system; 0 where it is gone.
uint64_t bytes_on_disk(const std::string& path) {
    struct stat status;
    return ::stat(path.c_str(), &status) == 0 ? static_cast<uint64_t>(status.st_blocks) * 512 : 0;
}

Json json_of(const Image& image) {
    const ImageInfo& info = image.info();
    Json json{{"filename", image.path()},
              {"format", format_name(info.format)},
              {"virtual-size", image.size_bytes()},
              {"actual-size", bytes_on_disk(image.path())},
              {"logical-sector-size", info.logical_sector_bytes}};
    if (!info.subformat.empty()) json["subformat"] = info.subformat;
    Json details = Json::object();
    for (const auto& detail : info.details) details[detail.name] = detail.value;
    json["format-specific"] = std::move(details);
    json["snapshots"] = info.snapshots;
    json["warnings"] = info.warnings;
    if (image.parent()) json["parent"] = json_of(*image.parent());
    return json;
}

void print_image(const Image& image, int indent) {
    const ImageInfo& info = image.info();
    std::string format(format_name(info.format));
    print_fact("image", image.path(), indent);
    print_fact("format", info.subformat.empty() ? format : format + ", " + info.subformat, indent);
    print_fact("virtual size", bytes_text(image.size_bytes()), indent);
    print_fact("size on disk", bytes_text(bytes_on_disk(image.path())), indent);
    if (info.logical_sector_bytes != 512)
        print_fact("logical sector size", std::to_string(info.logical_sector_bytes), indent);
    for (const auto& detail : info.details) print_fact(detail.name, detail.value, indent);
    for (const std::string& snapshot : info.snapshots) print_fact("snapshot", snapshot, indent);
    for (const std::string& warning : info.warnings) print_fact("warning", warning, indent);
    if (image.parent()) {
        fmt::print("{:{}}parent:\n", "", indent);
        print_image(*image.parent(), indent + 4);
    }
}

Result<uint64_t> data_bytes(const Source& source) {
    uint64_t bytes = 0;
    TRY(visit_extents(source, 0, source.size_bytes(), [&](const Extent& extent) {
        if (!extent.zero) bytes += extent.length;
        return !interrupted();
    }));
    if (interrupted()) return fail(EINTR, "interrupted");
    return bytes;
}

Result<int> info(Engine& engine, const InfoOptions& options) {
    auto operand = TRY(options.operands.open(engine, options.name));
    Json json = Json::object();
    if (operand.view) {
        uint64_t data = TRY(data_bytes(*operand.view));
        std::string name = options.operands.as().empty() ? operand.name : operand.name + " as " + options.operands.as();
        json = {{"view", name},
                {"format", format_name(operand.view_format)},
                {"file-size", operand.view->size_bytes()},
                {"data-size", data}};
        if (operand.image) json["of"] = json_of(*operand.image);
        if (!options.json) {
            print_fact("view", name, 0);
            print_fact("format", format_name(operand.view_format), 0);
            print_fact("file size", bytes_text(operand.view->size_bytes()), 0);
            print_fact("of which data", bytes_text(data), 0);
            if (operand.image) fmt::print("of:\n");
        }
    } else {
        json = json_of(*operand.image);
    }
    if (options.json)
        print_json(json);
    else if (operand.image)
        print_image(*operand.image, operand.view ? 4 : 0);
    return exit_ok;
}

}  // namespace

void add_info(CLI::App& app, Command& chosen) {
    auto* command = app.add_subcommand("info", "Tell about an image and its parents, or about a view");
    auto options = std::make_shared<InfoOptions>();
    command->add_option("IMAGE", options->name, "FILE, FILE@SNAPSHOT, VOLUME[@GENERATION], or a name of --spec's disks")->required();
    options->operands.add_to(*command, true);
    command->add_flag("--json", options->json, "print JSON");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return info(engine, *options); };
    });
}

}  // namespace hyper::ctl
