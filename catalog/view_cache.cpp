// SPDX-License-Identifier: Apache-2.0
#include "catalog/view_cache.h"

#include <algorithm>

namespace hyper {

std::shared_ptr<const Source> ViewCache::find(const std::string& name, const std::shared_ptr<const Image>& image) {
    std::lock_guard lock(mutex_);
    auto at = entries_.find(name);
    Shared entry = at == entries_.end() ? nullptr : at->second.lock();
    if (!entry || entry->image != image) return nullptr;
    use(entry);
    return hand_out(entry);
}

std::shared_ptr<const Source> ViewCache::put(const std::string& name, std::shared_ptr<const Image> image,
                                             std::shared_ptr<const Source> view) {
    std::lock_guard lock(mutex_);
    std::weak_ptr<const Entry>& place = entries_[name];
    Shared entry = place.lock();
    if (!entry || entry->image != image) {
        entry = std::make_shared<const Entry>(Entry{std::move(image), std::move(view)});
        place = entry;
    }
    use(entry);
    if (entries_.size() > entries_max)
        std::erase_if(entries_, [](const auto& item) { return item.second.expired(); });
    return hand_out(entry);
}

void ViewCache::use(const Shared& entry) {
    auto at = std::find(kept_.begin(), kept_.end(), entry);
    if (at != kept_.end()) {
        kept_.splice(kept_.begin(), kept_, at);
        return;
    }
    kept_.push_front(entry);
    kept_bytes_ += entry->cost_bytes();
    while (kept_bytes_ > kept_bytes_max && kept_.size() > 1) {
        kept_bytes_ -= kept_.back()->cost_bytes();
        kept_.pop_back();
    }
}

}  // namespace hyper
