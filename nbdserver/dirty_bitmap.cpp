// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/dirty_bitmap.h"

#include <algorithm>

#include "blockengine/base/log.h"
#include "convert/image.h"
#include "nbdserver/protocol.h"

namespace hyper::nbd {

namespace {

// Neighbours joined.
std::vector<ChangedRun> compact(const std::vector<ChangedRun>& runs) {
    std::vector<ChangedRun> joined;
    for (const ChangedRun& run : runs) {
        if (!joined.empty() && joined.back().offset + joined.back().length == run.offset)
            joined.back().length += run.length;
        else
            joined.push_back(run);
    }
    joined.shrink_to_fit();
    return joined;
}

class DirtyBitmap : public Context {
  public:
    DirtyBitmap(std::shared_ptr<const Image> image, std::shared_ptr<ChangedRuns> runs, const std::string& state)
        : Context("qemu:dirty-bitmap:" + state), image_(std::move(image)), runs_(std::move(runs)), state_(state) {}

    Result<void> describe(uint64_t offset, uint64_t length,
                          const std::function<bool(uint64_t, uint64_t)>& visit) const override {
        auto runs = TRY(runs_->since(*image_->changes(), state_, image_->size_bytes()));
        auto run = std::ranges::upper_bound(*runs, offset, {}, &ChangedRun::offset);
        if (run != runs->begin() && offset < std::prev(run)->offset + std::prev(run)->length) --run;
        for (uint64_t end = offset + length; offset < end; ++run) {
            uint64_t start = run == runs->end() ? end : std::clamp(run->offset, offset, end);
            if (start > offset && !visit(start - offset, 0)) break;
            if (start == end) break;
            uint64_t stop = std::min(end, run->offset + run->length);
            if (!visit(stop - start, state_dirty)) break;
            offset = stop;
        }
        return {};
    }

  private:
    std::shared_ptr<const Image> image_;
    std::shared_ptr<ChangedRuns> runs_;
    std::string state_;
};

}  // namespace

Result<ChangedRuns::Runs> ChangedRuns::since(const ChangeMap& changes, const std::string& state, uint64_t disk_bytes) {
    auto entry = entry_of(changes.disk() + ' ' + changes.change_id() + ' ' + state);
    std::lock_guard lock(entry->mutex);
    if (entry->runs) return entry->runs;
    auto found = TRY(changes.changed_since(state));
    if (!found) {
        log_warning("{}: state {}: what changed since {} is not known any more, so all of it is called dirty", changes.disk(),
                    changes.change_id(), state);
        found.emplace();
        if (disk_bytes > 0) found->push_back({0, disk_bytes});
    }
    entry->runs = std::make_shared<const std::vector<ChangedRun>>(compact(*found));
    count(*entry, entry->runs->capacity() * sizeof(ChangedRun));
    return entry->runs;
}

std::shared_ptr<ChangedRuns::Entry> ChangedRuns::entry_of(const std::string& key) {
    std::lock_guard lock(mutex_);
    auto at = std::ranges::find(recent_, key, [](const auto& entry) -> const std::string& { return entry->key; });
    if (at == recent_.end()) {
        at = recent_.insert(recent_.begin(), std::make_shared<Entry>(key));
        kept_bytes_ += (*at)->bytes;
        drop_surplus();
    }
    recent_.splice(recent_.begin(), recent_, at);
    return recent_.front();
}

// The entry may have been dropped while its list was fetched.
void ChangedRuns::count(Entry& entry, uint64_t bytes) {
    std::lock_guard lock(mutex_);
    entry.bytes += bytes;
    if (std::ranges::find(recent_, &entry, &std::shared_ptr<Entry>::get) != recent_.end()) kept_bytes_ += bytes;
    drop_surplus();
}

void ChangedRuns::drop_surplus() {
    while (kept_bytes_ > kept_bytes_max_ && recent_.size() > 1) {
        kept_bytes_ -= recent_.back()->bytes;
        recent_.pop_back();
    }
}

std::vector<std::shared_ptr<const Context>> dirty_contexts(const std::shared_ptr<const Source>& source,
                                                           const std::shared_ptr<ChangedRuns>& runs) {
    std::vector<std::shared_ptr<const Context>> contexts;
    auto image = std::dynamic_pointer_cast<const Image>(source);
    if (!image || !image->changes()) return contexts;
    for (const std::string& state : image->changes()->earlier()) {
        if (contexts.size() == dirty_contexts_max) break;
        contexts.push_back(std::make_shared<DirtyBitmap>(image, runs, state));
    }
    return contexts;
}

}  // namespace hyper::nbd
