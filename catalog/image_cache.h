// SPDX-License-Identifier: Apache-2.0
// Images that are open somewhere, and what is known of those that are not, for as long as their files stay the same.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "convert/image.h"

namespace hyper {

// Thread-safe.
class ImageCache {
  public:
    // What a listing tells of an image.
    struct Facts {
        Format format;
        uint64_t size_bytes;
        std::vector<std::string> snapshots;
    };

    explicit ImageCache(Engine& engine) : engine_(engine) {}

    // The image that somebody already holds, unless its file, one of its data or one of its parents' changed; else opened now.
    // For one path the options are always the same but for their snapshot. Errors as open_image().
    Result<std::shared_ptr<const Image>> open(const std::string& path, const OpenOptions& options);
    Result<Facts> facts(const std::string& path, const OpenOptions& options);

  private:
    // Entries whose images nobody holds go when there are more.
    static constexpr size_t entries_max = 4096;

    // Which file was at a path, and in which state.
    struct Stamp {
        std::string path;
        uint64_t device = 0, inode = 0;
        int64_t size = 0, modified_s = 0, modified_ns = 0;
        bool operator==(const Stamp&) const = default;
    };
    struct Entry {
        std::vector<Stamp> stamps;  // of the image, its parents, and the files of their data
        std::weak_ptr<const Image> image;
        Facts facts;
    };

    static Stamp stamp_of(const std::string& path);
    static bool unchanged(const Entry& entry);

    Engine& engine_;
    std::mutex mutex_;
    std::map<std::string, Entry> entries_;  // guarded by mutex_; by path and snapshot
};

}  // namespace hyper
