// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/catalog_directory.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "blockengine/base/log.h"

namespace hyper::nbd {

std::vector<Listed> CatalogDirectory::list() {
    // Names of snapshots come from inside images, so there may be any number of them.
    constexpr size_t listed_max = 10000;
    std::vector<Listed> names;
    for (hyper::Export& item : catalog_.exports()) {
        if (writing_) {
            auto raw = catalog_.raw_file(item.name);
            if (raw && *raw && !(*raw)->itself) continue;
        }
        if (names.size() == listed_max) {
            log_warning("only {} exports are listed; the others can be opened by name", listed_max);
            break;
        }
        std::string disk = catalog_.disk_of(item.name);
        names.push_back({std::move(item.name), std::move(item.description), std::move(disk)});
    }
    return names;
}

Result<std::shared_ptr<const Export>> CatalogDirectory::open(const std::string& name) {
    auto exported = std::make_shared<Export>();
    exported->name = name.empty() ? TRY(catalog_.default_name()) : name;
    auto raw = writing_ ? TRY(catalog_.raw_file(exported->name)) : std::nullopt;
    if (raw && !raw->itself)
        return fail(EACCES, "{}: not offered, since {} is served for writing", exported->name, raw->path);
    if (raw) {
        exported->writable = TRY(open_for_writing(raw->path));
        exported->source = exported->writable->source();
    } else {
        exported->source = TRY(catalog_.open_export(exported->name));
    }
    exported->description = catalog_.describe(exported->name);
    exported->preferred_bytes = preferred_request_bytes(*exported->source);
    exported->contexts = {allocation_context(exported->source), depth_context(exported->source)};
    return exported;
}

Result<void> CatalogDirectory::adopt(UniqueFd fd, const std::string& path) {
    auto file = TRY(WritableFile::adopt(fd.release(), path, catalog_.engine().io()));
    std::lock_guard lock(mutex_);
    adopted_.push_back(std::move(file));
    return {};
}

std::vector<std::shared_ptr<WritableFile>> CatalogDirectory::written() {
    std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<WritableFile>> files;
    for (const auto& [path, file] : written_)
        if (file) files.push_back(file);
    files.insert(files.end(), adopted_.begin(), adopted_.end());
    return files;
}

// All connections share one, which is kept: its lock is the process's. A file that was replaced is opened anew, and one that
// may have lost writes, once nobody is left who should hear of that.
Result<std::shared_ptr<WritableFile>> CatalogDirectory::open_for_writing(const std::string& path) {
    std::lock_guard lock(mutex_);
    struct stat status {};
    bool there = ::stat(path.c_str(), &status) == 0;
    auto same = [&](const std::shared_ptr<WritableFile>& file) {
        return there && file && status.st_dev == file->file()->device() && status.st_ino == file->file()->inode();
    };
    auto& held = written_[path];
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

}  // namespace hyper::nbd
