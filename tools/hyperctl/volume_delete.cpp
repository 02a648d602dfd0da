// SPDX-License-Identifier: Apache-2.0
// A volume that is being deleted is renamed first, so that nobody ever sees half of one.
#include <fmt/format.h>

#include <cerrno>
#include <filesystem>

#include "blockengine/volume/small_file.h"
#include "blockengine/volume/volume_lock.h"
#include "tools/hyperctl/volume_command.h"
#include "tools/hyperctl/volume_operand.h"

namespace hyper::ctl {

namespace {

namespace fs = std::filesystem;

struct DeleteOptions {
    VolumeRoot root;
    std::string name;
    bool force = false;
};

// Folders of volumes with this name whose deletion began.
std::vector<fs::path> half_deleted(const fs::path& folder) {
    std::vector<fs::path> found;
    std::string prefix = "." + folder.filename().string() + ".", suffix = ".deleted";
    std::error_code ignored;
    for (fs::directory_iterator at(folder.parent_path(), ignored), end; at != end; at.increment(ignored)) {
        std::string name = at->path().filename().string();
        if (name.starts_with(prefix) && name.ends_with(suffix)) found.push_back(at->path());
    }
    return found;
}

// Under a hidden name, which is on the disk on return.
Result<void> hide(const fs::path& folder) {
    for (unsigned i = 0;; ++i) {
        fs::path hidden = folder.parent_path() / fmt::format(".{}.{}.deleted", folder.filename().string(), i);
        std::error_code error;
        if (fs::exists(hidden, error)) continue;
        fs::rename(folder, hidden, error);
        if (error) return fail(error.value(), "{}: rename it to {}: {}", folder.string(), hidden.string(), errno_text(error.value()));
        return sync_folder(folder.parent_path().string());
    }
}

Result<void> take_away(Engine& engine, const VolumeOperand& operand, const fs::path& folder, bool force) {
    TRY(operand.must_be_there());
    auto lock = TRY(lock_volume(VolumePaths(folder.string())));
    if (!force) {
        auto volume = TRY(operand.open(engine));
        auto all = TRY(volume->generations());
        if (!all.empty())
            return fail(ENOTEMPTY, "{}: has {} generation{}; --force deletes it all the same", operand.name, all.size(),
                        all.size() == 1 ? "" : "s");
    }
    return hide(folder);
}

Result<int> delete_volume(Engine& engine, const DeleteOptions& options) {
    auto operand = TRY(options.root.operand(options.name));
    TRY(operand.refuse_generation());
    fs::path folder = fs::absolute(operand.folder).lexically_normal();
    std::error_code error;
    if (fs::exists(folder, error) || half_deleted(folder).empty()) TRY(take_away(engine, operand, folder, options.force));
    for (const fs::path& path : half_deleted(folder)) {
        fs::remove_all(path, error);
        if (error) return fail(error.value(), "{}: remove it: {}", path.string(), errno_text(error.value()));
    }
    return exit_ok;
}

}  // namespace

void add_volume_delete(CLI::App& volume, Command& chosen) {
    auto* command = volume.add_subcommand("delete", "Delete a volume with all its generations");
    auto options = std::make_shared<DeleteOptions>();
    command->add_option("VOLUME", options->name, VolumeRoot::help)->required();
    options->root.add_to(*command);
    command->add_flag("--force", options->force, "even if it has generations, or cannot be opened");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return delete_volume(engine, *options); };
    });
}

}  // namespace hyper::ctl
