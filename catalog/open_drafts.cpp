// SPDX-License-Identifier: Apache-2.0
#include "catalog/open_drafts.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>

#include "blockengine/base/log.h"
#include "convert/volume/lazy.h"

namespace hyper {

OpenDrafts::OpenDrafts(Engine& engine, bool commit_on_close) : engine_(engine), commit_on_close_(commit_on_close) {}

OpenDrafts::~OpenDrafts() {
    stop_hydrating_ = true;
    for (std::thread& thread : hydrating_) thread.join();
    {
        std::lock_guard lock(mutex_);
        ending_ = true;
        changed_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
}

Result<std::shared_ptr<WritableDisk>> OpenDrafts::open(const std::string& folder) {
    std::unique_lock lock(mutex_);
    Held& held = held_[folder];
    std::shared_ptr<VolumeDraft> draft;
    changed_.wait(lock, [&] {
        draft = held.draft.lock();
        return draft || !held.there;
    });
    if (!draft) {
        if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
        // Its source may be slow to answer, which is no other volume's affair.
        held.there = true;
        lock.unlock();
        auto opened = VolumeDraft::open(engine_, folder, [this](const LazySource& source) { return open_lazy_source(engine_, source); });
        lock.lock();
        changed_.notify_all();
        held.there = opened.has_value();
        if (!opened) return tl::unexpected(std::move(opened).error());
        draft = std::shared_ptr<VolumeDraft>(opened->release(), [this, folder](VolumeDraft* last) {
            close(folder, std::unique_ptr<VolumeDraft>(last));
        });
        held.draft = draft;
        held.hydrating = draft->lazy_source().has_value();
        if (held.hydrating) hydrating_.emplace_back([this, folder, draft]() mutable { hydrate(folder, std::move(draft)); });
    }
    return std::shared_ptr<WritableDisk>(draft, draft->disk().get());
}

Result<std::optional<Generation>> OpenDrafts::commit(const std::string& folder, const StoreOptions& options) {
    std::shared_ptr<VolumeDraft> draft;  // let go without the lock, which its closing takes
    std::unique_lock lock(mutex_);
    auto held = std::ranges::find_if(held_, [&](const auto& entry) {
        std::error_code ignored;
        return std::filesystem::equivalent(entry.first, folder, ignored) && (draft = entry.second.draft.lock());
    });
    if (!draft) return fail(ENOENT, "{}: nobody has it open for writing here", folder);
    if (held->second.hydrating) return fail(EBUSY, "{}: is being filled from its source, and can be committed when all of it is here", folder);
    if (held->second.committing) return fail(EBUSY, "{}: is being committed already", folder);
    held->second.committing = true;
    lock.unlock();
    auto made = draft->commit_while_written(options);
    draft = nullptr;  // without the lock: nobody else may have it any more
    lock.lock();
    held->second.committing = false;
    return made;
}

void OpenDrafts::close(const std::string& folder, std::unique_ptr<VolumeDraft> draft) {
    std::lock_guard lock(mutex_);
    closing_.push_back({folder, std::move(draft)});
    changed_.notify_all();
}

// Until all is there, whatever fails meanwhile: those who read hear of it themselves.
void OpenDrafts::hydrate(const std::string& folder, std::shared_ptr<VolumeDraft> draft) {
    constexpr std::chrono::milliseconds pause(10'000), nap(100);
    HydrateOptions options;
    options.stop = [this] { return stop_hydrating_.load(); };
    for (;;) {
        auto done = draft->hydrate(options);
        if (done) {
            log_info("{}: everything is here, and its source is not needed any more", folder);
            std::lock_guard lock(mutex_);
            held_[folder].hydrating = false;
            return;
        }
        if (stop_hydrating_) return;
        log_warning("{}; filling {} goes on in {} ms", done.error().message, folder, pause.count());
        for (auto slept = nap; slept < pause && !stop_hydrating_; slept += nap) std::this_thread::sleep_for(nap);
    }
}

void OpenDrafts::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [this] { return ending_ || !closing_.empty(); });
        if (closing_.empty()) return;
        Closing closing = std::move(closing_.front());
        closing_.pop_front();
        lock.unlock();
        finish(closing);
        closing.draft = nullptr;
        lock.lock();
        held_[closing.folder].there = false;
        changed_.notify_all();
    }
}

void OpenDrafts::finish(const Closing& closing) const {
    if (!commit_on_close_ || closing.draft->lazy_source()) {
        if (auto flushed = closing.draft->disk()->flush(); !flushed) log_error("{}", flushed.error().message);
        return;
    }
    auto committed = closing.draft->commit({});
    if (!committed)
        log_error("{}: the draft stays, and is no generation yet: {}", closing.folder, committed.error().message);
    else if (*committed)
        log_info("{}: generation {} of what was written", closing.folder, (*committed)->number);
}

}  // namespace hyper
