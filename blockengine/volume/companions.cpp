// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/companions.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>

#include "blockengine/base/bytes.h"
#include "blockengine/base/hex.h"
#include "blockengine/volume/small_file.h"

namespace hyper {

namespace {

namespace fs = std::filesystem;

std::string path_of(const VolumePaths& paths, const Sha256& hash) { return paths.companions() + "/" + hex(hash); }

Result<std::string> read_checked(const VolumePaths& paths, const Companion& companion) {
    std::string path = path_of(paths, companion.hash);
    auto bytes = read_small_file(path, companion.size_bytes);
    if (!bytes && (bytes.error().code == ENOENT || bytes.error().code == EFBIG)) return fail(EIO, "{}", bytes.error().message);
    if (bytes && sha256({bytes_of_text(*bytes)}) != companion.hash)
        return fail(EIO, "{}: companion {}: is not the {} bytes that were stored", path, companion.name, companion.size_bytes);
    return bytes;
}

}  // namespace

bool is_companion_name(std::string_view name) {
    auto is_plain = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '_' || c == '-';
    };
    return !name.empty() && name.size() <= companion_name_max && name.front() != '.' && std::ranges::all_of(name, is_plain);
}

Result<std::vector<Companion>> store_companions(const VolumePaths& paths, std::span<const CompanionContent> contents) {
    std::vector<Companion> companions;
    if (contents.empty()) return companions;
    if (contents.size() > companions_max)
        return fail(EINVAL, "{}: {} companions are too many ({} at most)", paths.folder, contents.size(), companions_max);
    if (::mkdir(paths.companions().c_str(), 0700) == 0)
        TRY(sync_folder(paths.folder));
    else if (errno != EEXIST)
        return fail(errno, "{}: make the folder: {}", paths.companions(), errno_text(errno));
    for (const auto& [name, bytes] : contents) {
        if (!is_companion_name(name)) return fail(EINVAL, "{}: \"{}\" is no name of a companion", paths.folder, name);
        if (bytes.size() > companion_bytes_max)
            return fail(EFBIG, "{}: companion {}: {} bytes are too many ({} at most)", paths.folder, name, bytes.size(), companion_bytes_max);
        if (std::ranges::find(companions, name, &Companion::name) != companions.end())
            return fail(EINVAL, "{}: companion {} is there twice", paths.folder, name);
        companions.push_back({name, bytes.size(), sha256({bytes_of_text(bytes)})});
        // Most are what they were in the generation before; one that was damaged since is made good.
        if (read_checked(paths, companions.back())) continue;
        std::string path = path_of(paths, companions.back().hash);
        TRY(prepare_small_file(path, bytes));
        TRY(put_in_place(path));
    }
    // Also where nothing was written: whoever wrote it may have been killed before the name was on the disk.
    TRY(sync_folder(paths.companions()));
    return companions;
}

Result<std::string> read_companion(const Volume& volume, const Generation& generation, const Companion& companion) {
    auto bytes = read_checked(volume.paths(), companion);
    if (!bytes && volume.pruned().pruned(generation.number))
        return fail(ESTALE, "{}: generation {} was pruned", volume.folder(), generation.number);
    return bytes;
}

Result<std::vector<CompanionContent>> read_companions(const Volume& volume, const Generation& generation) {
    std::vector<CompanionContent> contents;
    for (const Companion& companion : generation.companions)
        contents.push_back({companion.name, TRY(read_companion(volume, generation, companion))});
    return contents;
}

Result<void> remove_other_companions(const VolumePaths& paths, const std::vector<Generation>& generations) {
    std::error_code error;
    fs::directory_iterator at(paths.companions(), error);
    if (error == std::errc::no_such_file_or_directory) return {};
    std::set<std::string> kept;
    for (const Generation& generation : generations)
        for (const Companion& companion : generation.companions) kept.insert(hex(companion.hash));
    for (; !error && at != fs::directory_iterator(); at.increment(error)) {
        if (kept.contains(at->path().filename().string())) continue;
        if (::unlink(at->path().c_str()) != 0) return fail(errno, "{}: remove: {}", at->path().string(), errno_text(errno));
    }
    if (error) return fail(error.value(), "{}: read the folder: {}", paths.companions(), errno_text(error.value()));
    return {};
}

}  // namespace hyper
