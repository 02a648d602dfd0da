// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "tools/hyperctl/generation_text.h"
#include "tools/hyperctl/table.h"
#include "tools/hyperctl/volume_command.h"
#include "tools/hyperctl/volume_operand.h"

namespace hyper::ctl {

namespace {

namespace fs = std::filesystem;

struct ListOptions {
    VolumeRoot root;
    bool json = false;
};

// Names of the volumes, ascending; what is hidden is not whole, or is going away.
Result<std::vector<std::string>> names_in(const std::string& folder) {
    std::error_code error;
    fs::directory_iterator at(folder, error);
    std::vector<std::string> names;
    for (; !error && at != fs::directory_iterator(); at.increment(error)) {
        std::string name = at->path().filename().string();
        if (!name.starts_with('.') && is_volume(at->path().string())) names.push_back(name.substr(0, name.size() - volume_suffix.size()));
    }
    if (error && error.value() != ENOENT) return fail(error.value(), "{}: list the volumes: {}", folder, errno_text(error.value()));
    std::ranges::sort(names);
    return names;
}

uint64_t bytes_on_disk(const std::string& folder) {
    uint64_t bytes = 0;
    std::error_code ignored;
    for (fs::recursive_directory_iterator at(folder, ignored), end; at != end; at.increment(ignored)) {
        struct stat status {};
        if (::lstat(at->path().c_str(), &status) == 0) bytes += static_cast<uint64_t>(status.st_blocks) * 512;
    }
    return bytes;
}

Result<int> list(Engine& engine, const ListOptions& options) {
    Table table({"NAME", ">SIZE", ">GENERATIONS", "LATEST", ">ON DISK"});
    Json json = Json::array();
    std::string problems;
    for (const std::string& name : TRY(names_in(options.root.volumes_folder()))) {
        VolumeOperand operand{name, options.root.volumes_folder() + "/" + name + std::string(volume_suffix), ""};
        uint64_t on_disk = bytes_on_disk(operand.folder);
        Json entry{{"name", name}, {"path", operand.folder}, {"actual-size", on_disk}};
        auto all = operand.open(engine).and_then([](const auto& volume) { return volume->generations(); });
        if (!all) {
            table.add({name, "-", "-", "-", human_bytes(on_disk)});
            entry["problem"] = all.error().message;
            problems += fmt::format("hyperctl: {}: cannot be opened: {}\n", printable(name), printable(all.error().message));
        } else {
            bool any = !all->empty();
            table.add({name, any ? human_bytes(all->back().size_bytes) : "-", fmt::to_string(all->size()),
                       any ? number_and_time(all->back()) : "-", human_bytes(on_disk)});
            entry["generations"] = all->size();
            if (any) entry["latest"] = json_of(all->back());
        }
        json.push_back(std::move(entry));
    }
    options.json ? print_json(json) : table.print();
    if (problems.empty()) return exit_ok;
    std::fflush(stdout);
    fmt::print(stderr, "{}", problems);
    return exit_partial;
}

}  // namespace

void add_volume_list(CLI::App& volume, Command& chosen) {
    auto* command = volume.add_subcommand("list", "List the volumes that have names");
    auto options = std::make_shared<ListOptions>();
    options->root.add_to(*command);
    command->add_flag("--json", options->json, "print JSON");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return list(engine, *options); };
    });
}

}  // namespace hyper::ctl
