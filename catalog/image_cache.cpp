// SPDX-License-Identifier: Apache-2.0
#include "catalog/image_cache.h"

#include <sys/stat.h>

#include <algorithm>

namespace hyper {

namespace {

std::string key_of(const std::string& path, const OpenOptions& options) {
    return path + '\0' + options.snapshot;
}

}  // namespace

ImageCache::Stamp ImageCache::stamp_of(const std::string& path) {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) return {path};
    return {path, status.st_dev, status.st_ino, status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
}

bool ImageCache::unchanged(const Entry& entry) {
    return std::all_of(entry.stamps.begin(), entry.stamps.end(),
                       [](const Stamp& stamp) { return stamp == stamp_of(stamp.path); });
}

Result<std::shared_ptr<const Image>> ImageCache::open(const std::string& path, const OpenOptions& options) {
    std::string key = key_of(path, options);
    {
        std::lock_guard lock(mutex_);
        auto at = entries_.find(key);
        if (at != entries_.end() && unchanged(at->second))
            if (auto image = at->second.image.lock()) return image;
    }
    // Outside the lock: a slow image must not hold up the others. Stamped before it is read, so that a change
    // in between shows later.
    std::vector<Stamp> stamps{stamp_of(path)};
    auto image = TRY(open_image(engine_, path, options));
    for (const Image* one = image.get(); one != nullptr; one = one->parent().get()) {
        if (one != image.get()) stamps.push_back(stamp_of(one->path()));
        for (const std::string& data_path : one->data_paths()) stamps.push_back(stamp_of(data_path));
    }

    std::lock_guard lock(mutex_);
    Entry& entry = entries_[key];
    // Two threads may have opened it at once: the first one's is shared.
    if (auto other = entry.image.lock(); other && entry.stamps == stamps) return other;
    entry = {std::move(stamps), image, {image->info().format, image->size_bytes(), image->info().snapshots}};
    if (entries_.size() > entries_max)
        std::erase_if(entries_, [](const auto& item) { return item.second.image.expired(); });
    return image;
}

Result<ImageCache::Facts> ImageCache::facts(const std::string& path, const OpenOptions& options) {
    {
        std::lock_guard lock(mutex_);
        auto at = entries_.find(key_of(path, options));
        if (at != entries_.end() && unchanged(at->second)) return at->second.facts;
    }
    auto image = TRY(open(path, options));
    return Facts{image->info().format, image->size_bytes(), image->info().snapshots};
}

}  // namespace hyper
