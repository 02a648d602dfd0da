// SPDX-License-Identifier: Apache-2.0
// Commits of volumes that were asked for: each is carried out by a thread of its own, and can be asked about by its number.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>

#include "blockengine/volume/store_blocks.h"

namespace hyper::watch {

// Makes a generation of the volume in a folder; of none where nothing was written. Thread-safe; may take long.
using CommitVolume = std::function<Result<std::optional<Generation>>(const std::string& folder, const StoreOptions& options)>;

// Thread-safe.
class Commits {
  public:
    // Those that have ended are remembered until there are more.
    static constexpr size_t kept_max = 32;

    struct State {
        bool running = true;
        uint64_t done_bytes = 0;
        uint32_t generation = 0;  // 0: nothing was written
        std::string error;        // empty: none
    };

    explicit Commits(CommitVolume commit) : commit_(std::move(commit)) {}
    // What is under way is given up, where it can be.
    ~Commits();

    // Its number; nullopt where as many as may be are under way.
    std::optional<uint64_t> begin(const std::string& folder);
    std::optional<State> find(uint64_t number) const;

  private:
    struct Commit {
        State state;
        std::thread thread;
    };
    void run(uint64_t number, const std::string& folder);
    bool make_room();

    const CommitVolume commit_;
    mutable std::mutex mutex_;
    std::map<uint64_t, Commit> commits_;  // guarded by mutex_
    // Guarded by mutex_. Another server, which has taken over, knows none of these numbers.
    uint64_t last_ = std::random_device{}();
    std::atomic<bool> stop_ = false;
};

}  // namespace hyper::watch
