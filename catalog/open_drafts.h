// SPDX-License-Identifier: Apache-2.0
// The drafts of volumes that a door has open: each once, whoever writes it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "blockengine/volume/volume_draft.h"

namespace hyper {

// Thread-safe. When nobody has a draft any more it is closed, by a thread of its own since that waits for the disk: flushed and left
// for the next who opens it, or made a generation. That of a lazy volume is filled from its source from the first opening on, by another thread.
class OpenDrafts {
  public:
    OpenDrafts(Engine& engine, bool commit_on_close);
    // Waits until all is closed. Nobody may have a draft any more.
    ~OpenDrafts();

    // Waits where the same is just being opened or closed. Errors: those of VolumeDraft::open().
    Result<std::shared_ptr<WritableDisk>> open(const std::string& folder);
    // Makes a generation of a volume that somebody has open (VolumeDraft::commit_while_written()). Errors: ENOENT where nobody has; EBUSY where
    // another commit is under way, and while it is filled from its source.
    Result<std::optional<Generation>> commit(const std::string& folder, const StoreOptions& options);

  private:
    struct Held {
        std::weak_ptr<VolumeDraft> draft;
        bool there = false;  // somebody has it, or it is being opened or closed
        bool hydrating = false, committing = false;
    };
    struct Closing {
        std::string folder;
        std::unique_ptr<VolumeDraft> draft;
    };

    void close(const std::string& folder, std::unique_ptr<VolumeDraft> draft);
    void hydrate(const std::string& folder, std::shared_ptr<VolumeDraft> draft);
    void run();
    void finish(const Closing& closing) const;

    Engine& engine_;
    const bool commit_on_close_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::map<std::string, Held> held_;  // guarded by mutex_; by folder
    std::deque<Closing> closing_;       // guarded by mutex_
    bool ending_ = false;               // guarded by mutex_
    std::thread thread_;
    std::atomic<bool> stop_hydrating_ = false;
    std::vector<std::thread> hydrating_;  // guarded by mutex_; one for each lazy volume that was opened
};

}  // namespace hyper
