// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/workers.h"

#include <utility>

namespace hyper::nbd {

Workers::Workers(unsigned threads) : running_max_(threads > 1 ? threads / 2 : 1) {
    for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
}

Workers::~Workers() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
}

void Workers::submit(const void* key, std::function<void()> work) {
    {
        std::lock_guard lock(mutex_);
        Client& client = clients_[key];
        if (client.queue.empty() && client.running < running_max_) turns_.push_back(key);
        client.queue.push_back(std::move(work));
    }
    wake_.notify_one();
}

void Workers::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [this] { return stopping_ || !turns_.empty(); });
        if (stopping_) return;
        const void* key = turns_.front();
        turns_.pop_front();
        Client& client = clients_[key];
        std::function<void()> work = std::move(client.queue.front());
        client.queue.pop_front();
        ++client.running;
        if (!client.queue.empty() && client.running < running_max_) turns_.push_back(key);
        lock.unlock();
        work();
        work = nullptr;
        lock.lock();
        // What is queued while a client has all that it may have waits for one of these to end.
        Client& after = clients_[key];
        bool was_full = after.running-- == running_max_;
        if (was_full && !after.queue.empty()) {
            turns_.push_back(key);
            wake_.notify_one();
        }
        if (after.running == 0 && after.queue.empty()) clients_.erase(key);
    }
}

}  // namespace hyper::nbd
