// SPDX-License-Identifier: Apache-2.0
#include "catalog/writable_disks.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

namespace hyper {

namespace {

constexpr std::string_view throwaway_suffix = "+rw";

}  // namespace

bool WritableDisks::offers(const std::string& name) {
    auto raw = catalog_.raw_file(name);
    return !raw || !*raw || (*raw)->itself;
}

Result<bool> WritableDisks::writes(const std::string& name) {
    if (TRY(catalog_.volume_folder(name))) return true;
    auto raw = TRY(catalog_.raw_file(name));
    return raw && raw->itself;
}

Result<std::shared_ptr<WritableDisk>> WritableDisks::open(const std::string& name) {
    if (name.ends_with(throwaway_suffix)) return open_throwaway(name.substr(0, name.size() - throwaway_suffix.size()));
    if (auto folder = TRY(catalog_.volume_folder(name))) return drafts_.open(*folder);
    auto raw = TRY(catalog_.raw_file(name));
    if (!raw) return nullptr;
    if (!raw->itself) return fail(EACCES, "{}: not offered, since {} is served for writing", name, raw->path);
    return TRY(open_file(raw->path));
}

Result<std::shared_ptr<WritableDisk>> WritableDisks::open_throwaway(const std::string& name) {
    auto folder = TRY(catalog_.volume_folder(name.substr(0, name.rfind('@'))));
    if (!folder) return fail(ENOENT, "{}{}: only generations of a volume can be written to and thrown away", name, throwaway_suffix);
    auto base = TRY(catalog_.open_disk(name));
    return open_overlay(catalog_.engine(), *folder, std::move(base));
}

Result<void> WritableDisks::adopt(UniqueFd fd, const std::string& path) {
    auto file = TRY(WritableFile::adopt(fd.release(), path, catalog_.engine().io()));
    std::lock_guard lock(mutex_);
    adopted_.push_back(std::move(file));
    return {};
}

std::vector<std::shared_ptr<WritableFile>> WritableDisks::all() {
    std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<WritableFile>> files;
    for (const auto& [path, file] : held_)
        if (file) files.push_back(file);
    files.insert(files.end(), adopted_.begin(), adopted_.end());
    return files;
}

// All who write it share one, which is kept: its lock is the process's. A file that was replaced is opened anew, and one that
// may have lost writes, once nobody is left who should hear of that.
Result<std::shared_ptr<WritableFile>> WritableDisks::open_file(const std::string& path) {
    std::lock_guard lock(mutex_);
    struct stat status {};
    bool there = ::stat(path.c_str(), &status) == 0;
    auto same = [&](const std::shared_ptr<WritableFile>& file) {
        return there && file && status.st_dev == file->file()->device() && status.st_ino == file->file()->inode();
    };
    auto& held = held_[path];
    if (auto adopted = std::ranges::find_if(adopted_, same); !held && adopted != adopted_.end()) {
        held = std::move(*adopted);
        adopted_.erase(adopted);
    }
    if (held && held->lost() && held.use_count() == 1) held = nullptr;
    if (same(held)) {
        bool resized = S_ISREG(status.st_mode) && static_cast<uint64_t>(status.st_size) != held->file()->size_bytes();
        if (resized) held = TRY(held->with_present_size());
        return held;
    }
    held = nullptr;
    held = TRY(WritableFile::open(path, catalog_.engine().io()));
    return held;
}

}  // namespace hyper
