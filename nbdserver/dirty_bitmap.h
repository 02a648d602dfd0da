// SPDX-License-Identifier: Apache-2.0
// Metadata contexts "qemu:dirty-bitmap:STATE": where a disk may have changed since one of its earlier states.
//
// Design note. The list of what changed is fetched when a client first asks for a part of it, so an export that nobody asks costs
// nothing, however many states its disk has. The lists used last are kept, for all connections together, and what is not
// kept any more is fetched again.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "blockengine/change_map.h"
#include "nbdserver/export.h"

namespace hyper::nbd {

// Thread-safe.
class ChangedRuns {
  public:
    using Runs = std::shared_ptr<const std::vector<ChangedRun>>;

    // `kept_bytes_max` bounds the lists that are kept; the newest is in any case.
    explicit ChangedRuns(uint64_t kept_bytes_max = 64 << 20) : kept_bytes_max_(kept_bytes_max) {}

    // Ascending, none touching the next, within the disk. Of a state that is not known any more: the whole disk, since all of it may
    // have changed. May wait for a disk. Errors: those of ChangeMap::changed_since().
    Result<Runs> since(const ChangeMap& changes, const std::string& state, uint64_t disk_bytes);

  private:
    // One thread fetches, and the others wait for it.
    struct Entry {
        explicit Entry(std::string which) : key(std::move(which)) {}
        const std::string key;
        std::mutex mutex;
        Runs runs;                           // guarded by mutex
        uint64_t bytes = sizeof(Entry) * 2;  // guarded by ChangedRuns::mutex_
    };

    std::shared_ptr<Entry> entry_of(const std::string& key);
    void count(Entry& entry, uint64_t bytes);
    void drop_surplus();

    const uint64_t kept_bytes_max_;
    std::mutex mutex_;
    std::list<std::shared_ptr<Entry>> recent_;  // guarded by mutex_; newest first
    uint64_t kept_bytes_ = 0;                   // guarded by mutex_
};

// What is offered of a disk with more earlier states: the newest.
inline constexpr size_t dirty_contexts_max = 256;

// One for each earlier state that `source` knows of, newest first; none where it is not a disk but a view, whose offsets are others.
std::vector<std::shared_ptr<const Context>> dirty_contexts(const std::shared_ptr<const Source>& source,
                                                           const std::shared_ptr<ChangedRuns>& runs);

}  // namespace hyper::nbd
