// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <sys/stat.h>

#include "catalog/catalog.h"
#include "tools/hyperctl/command.h"
#include "tools/hyperctl/table.h"

namespace hyper::ctl {

namespace {

struct ListOptions {
    std::vector<std::string> specs, allowed_dirs;
    bool exports = false, json = false;
};

uint64_t bytes_on_disk(const std::string& path) {
    struct stat status;
    return ::stat(path.c_str(), &status) == 0 ? static_cast<uint64_t>(status.st_blocks) * 512 : 0;
}

int list_exports(Catalog& catalog, bool as_json) {
    Table table({"NAME", "DESCRIPTION"});
    Json json = Json::array();
    for (const Export& e : catalog.exports()) {
        table.add({e.name, e.description});
        json.push_back({{"name", e.name}, {"format", format_name(e.format)}, {"description", e.description}});
    }
    as_json ? print_json(json) : table.print();
    return exit_ok;
}

int list_disks(Catalog& catalog, bool as_json) {
    Table table({"NAME", "FORMAT", ">SIZE", ">ON DISK", "IMAGE"});
    Json json = Json::array();
    std::string problems;
    for (const Disk& disk : catalog.disks()) {
        bool good = disk.problem.empty(), present = disk.snapshot.empty();
        uint64_t on_disk = present ? bytes_on_disk(disk.path) : 0;
        std::string format(good ? format_name(disk.format) : "-");
        table.add({disk.name, format, good && present ? human_bytes(disk.size_bytes) : "-",
                   present ? human_bytes(on_disk) : "-", disk.path});
        Json entry{{"name", disk.name}, {"filename", disk.path}};
        if (!present) entry["snapshot"] = disk.snapshot;
        if (good) entry["format"] = format;
        if (good && present) entry["virtual-size"] = disk.size_bytes;
        if (present) entry["actual-size"] = on_disk;
        if (!good) entry["problem"] = disk.problem;
        if (!good) problems += fmt::format("hyperctl: {}: cannot be served: {}\n", disk.name, printable(disk.problem));
        json.push_back(std::move(entry));
    }
    as_json ? print_json(json) : table.print();
    if (problems.empty()) return exit_ok;
    std::fflush(stdout);
    fmt::print(stderr, "{}", problems);
    return exit_partial;
}

}  // namespace

void add_list(CLI::App& app, Command& chosen) {
    auto* command = app.add_subcommand("list", "List the disks of images and directories of images");
    auto options = std::make_shared<ListOptions>();
    command->add_option("SPEC", options->specs, "image files and directories of images")->required();
    command->add_flag("--exports", options->exports, "list every name that can be opened: all views of all disks");
    command->add_option("--allow", options->allowed_dirs, "a folder that images may refer to, besides their own")
        ->type_name("DIR")
        ->expected(1)
        ->take_all()
        ->allow_extra_args(false);
    command->add_flag("--json", options->json, "print JSON");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) -> Result<int> {
            CatalogOptions catalog_options;
            catalog_options.open.allowed_dirs = options->allowed_dirs;
            auto catalog = TRY(Catalog::open(engine, options->specs, catalog_options));
            return options->exports ? list_exports(*catalog, options->json) : list_disks(*catalog, options->json);
        };
    });
}

}  // namespace hyper::ctl
