// SPDX-License-Identifier: Apache-2.0
#include "blockengine/fetch/cache_writer.h"

#include <signal.h>

#include <utility>

namespace hyper {

CacheWriter::~CacheWriter() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
}

void CacheWriter::put(const CacheFile::Key& key, std::shared_ptr<const Bytes> block) {
    std::lock_guard lock(mutex_);
    if (queued_bytes_ + block->size() > queued_bytes_max) return;
    queued_bytes_ += block->size();
    queue_.push_back({key, std::move(block)});
    if (!thread_.joinable()) {
        // Signals are for the threads that wait for them.
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        thread_ = std::thread([this] { run(); });
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }
    changed_.notify_all();
}

void CacheWriter::drain() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return queue_.empty(); });
}

void CacheWriter::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
        if (queue_.empty()) return;
        Queued& next = queue_.front();
        lock.unlock();
        file_->put(next.key, *next.block);
        lock.lock();
        queued_bytes_ -= next.block->size();
        queue_.pop_front();
        if (queue_.empty()) changed_.notify_all();
    }
}

}  // namespace hyper
