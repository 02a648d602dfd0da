// SPDX-License-Identifier: Apache-2.0
#include "tools/hyperctl/volume_operand.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

namespace hyper::ctl {

namespace fs = std::filesystem;

namespace {

bool is_path(const std::string& text) { return text.find('/') != std::string::npos || text.ends_with(volume_suffix); }

// A name becomes one of a file, is shown on terminals, and is told from a generation by its "@".
bool good_name(const std::string& name) {
    if (name.empty() || name.starts_with('.') || name.size() > 200) return false;
    for (char c : name)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '@') return false;
    return true;
}

}  // namespace

Result<void> VolumeOperand::must_be_there() const {
    if (is_volume(folder)) return {};
    std::error_code ignored;
    if (fs::exists(folder, ignored)) return fail(EINVAL, "{}: is no volume: it has no file \"volume\"", folder);
    return fail(ENOENT, "{}: there is no volume {} (hyperctl volume create makes one)", name, folder);
}

Result<std::shared_ptr<Volume>> VolumeOperand::open(Engine& engine) const {
    TRY(must_be_there());
    return Volume::open(engine, folder);
}

Result<std::unique_ptr<VolumeWriter>> VolumeOperand::open_to_write(Engine& engine) const {
    TRY(must_be_there());
    return VolumeWriter::open(engine, folder);
}

Result<void> VolumeOperand::refuse_generation() const {
    if (!generation.empty())
        return fail(EINVAL, "{}@{}: this is about the whole volume; leave out the \"@{}\"", name, generation, generation);
    return {};
}

void VolumeRoot::add_to(CLI::App& command) {
    command.add_option("--root", root_, "the folder whose volumes have names (else $HYPER_ROOT, else /var/lib/hyper)")
        ->type_name("DIR");
}

std::string VolumeRoot::volumes_folder() const {
    const char* of_environment = std::getenv("HYPER_ROOT");
    std::string root = root_;
    if (root.empty() && of_environment != nullptr) root = of_environment;
    if (root.empty()) root = "/var/lib/hyper";
    return root + "/volumes";
}

Result<VolumeOperand> VolumeRoot::operand(const std::string& text) const {
    VolumeOperand operand{text, "", ""};
    size_t at = text.rfind('@');
    // What stands behind the "@" of a folder on the way is none.
    if (at != std::string::npos && !is_path(text.substr(at + 1))) {
        operand.name = text.substr(0, at);
        operand.generation = text.substr(at + 1);
        if (operand.generation.empty()) return fail(EINVAL, "{}: there is nothing behind the \"@\"", text);
    }
    if (is_path(operand.name)) {
        while (operand.name.size() > 1 && operand.name.ends_with('/')) operand.name.pop_back();
        if (!operand.name.ends_with(volume_suffix))
            return fail(EINVAL, "{}: the name of a volume's folder ends in \"{}\"", operand.name, volume_suffix);
        operand.folder = operand.name;
        return operand;
    }
    if (!good_name(operand.name))
        return fail(EINVAL, "\"{}\": cannot be a volume's name (no \"@\", no control characters, not hidden, 200 bytes at most)",
                    operand.name);
    operand.folder = volumes_folder() + "/" + operand.name + std::string(volume_suffix);
    return operand;
}

Result<std::unique_ptr<VolumeWriter>> VolumeRoot::create(Engine& engine, const VolumeOperand& operand,
                                                         const VolumeOptions& options) const {
    if (!is_path(operand.name)) {
        // Disks are nobody's business but their owner's.
        fs::path folder;
        for (const fs::path& part : fs::path(volumes_folder())) {
            folder /= part;
            if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
                return fail(errno, "{}: make the folder: {}", folder.string(), errno_text(errno));
        }
    }
    return VolumeWriter::create(engine, operand.folder, options);
}

}  // namespace hyper::ctl
