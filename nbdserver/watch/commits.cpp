// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/watch/commits.h"

#include <algorithm>
#include <system_error>

#include "blockengine/base/log.h"

namespace hyper::watch {

Commits::~Commits() {
    stop_ = true;
    for (auto& [number, commit] : commits_) commit.thread.join();
}

// The oldest that has ended goes.
bool Commits::make_room() {
    if (commits_.size() < kept_max) return true;
    auto ended = std::ranges::find_if(commits_, [](const auto& entry) { return !entry.second.state.running; });
    if (ended == commits_.end()) return false;
    ended->second.thread.join();
    commits_.erase(ended);
    return true;
}

std::optional<uint64_t> Commits::begin(const std::string& folder) {
    std::lock_guard lock(mutex_);
    if (!make_room()) return std::nullopt;
    uint64_t number = ++last_;
    try {
        commits_[number].thread = std::thread([this, number, folder] { run(number, folder); });
    } catch (const std::system_error& error) {
        log_warning("{}: commit: no thread for it: {}", folder, error.what());
        commits_.erase(number);
        return std::nullopt;
    }
    return number;
}

std::optional<Commits::State> Commits::find(uint64_t number) const {
    std::lock_guard lock(mutex_);
    auto found = commits_.find(number);
    return found == commits_.end() ? std::nullopt : std::optional(found->second.state);
}

void Commits::run(uint64_t number, const std::string& folder) {
    StoreOptions options;
    options.done = [&](uint64_t bytes) {
        std::lock_guard lock(mutex_);
        commits_[number].state.done_bytes += bytes;
    };
    options.stop = [this] { return stop_.load(); };
    auto made = commit_(folder, options);
    if (!made)
        log_warning("{}: commit: {}", folder, made.error().message);
    else if (*made)
        log_info("{}: generation {} of what was written", folder, (*made)->number);
    std::lock_guard lock(mutex_);
    State& state = commits_[number].state;
    if (!made)
        state.error = made.error().message;
    else if (*made)
        state.generation = (*made)->number;
    state.running = false;
}

}  // namespace hyper::watch
