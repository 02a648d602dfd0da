// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/workers.h"

#include <utility>

namespace hyper::nbd {

Workers::Workers(unsigned threads) {
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

void Workers::submit(const void* client, std::function<void()> work) {
    {
        std::lock_guard lock(mutex_);
        auto& queue = queues_[client];
        if (queue.empty()) turns_.push_back(client);
        queue.push_back(std::move(work));
    }
    wake_.notify_one();
}

void Workers::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [this] { return stopping_ || !turns_.empty(); });
        if (stopping_) return;
        const void* client = turns_.front();
        turns_.pop_front();
        auto at = queues_.find(client);
        std::function<void()> work = std::move(at->second.front());
        at->second.pop_front();
        if (at->second.empty())
            queues_.erase(at);
        else
            turns_.push_back(client);
        lock.unlock();
        work();
        work = nullptr;
        lock.lock();
    }
}

}  // namespace hyper::nbd
