// SPDX-License-Identifier: Apache-2.0
// Views by name. The ones used last are kept open although nobody holds them, so that an index is not
// built anew for every look at a file's size.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "convert/image.h"

namespace hyper {

// Thread-safe.
class ViewCache {
  public:
    // nullptr where there is none by this name, or one of another image.
    std::shared_ptr<const Source> find(const std::string& name, const std::shared_ptr<const Image>& image);
    // Gives `view`, or the one that another thread put there first.
    std::shared_ptr<const Source> put(const std::string& name, std::shared_ptr<const Image> image,
                                      std::shared_ptr<const Source> view);

  private:
    // Of what is kept although nobody holds it, by cost(); the newest stays in any case.
    static constexpr uint64_t kept_bytes_max = 64 << 20;
    static constexpr size_t entries_max = 4096;

    struct Entry {
        std::shared_ptr<const Image> image;
        std::shared_ptr<const Source> view;
        // An index is at most 2 bytes for a MiB of disk (allocation_index.h); 1 MiB bounds the open files.
        uint64_t cost_bytes() const { return (1 << 20) + (image->size_bytes() >> 19); }
    };
    using Shared = std::shared_ptr<const Entry>;

    void use(const Shared& entry);
    static std::shared_ptr<const Source> hand_out(const Shared& entry) {
        return std::shared_ptr<const Source>(entry, entry->view.get());
    }

    std::mutex mutex_;
    std::map<std::string, std::weak_ptr<const Entry>> entries_;  // guarded by mutex_
    std::list<Shared> kept_;                                     // guarded by mutex_; newest first
    uint64_t kept_bytes_ = 0;                                    // guarded by mutex_
};

}  // namespace hyper
