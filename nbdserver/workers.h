// SPDX-License-Identifier: Apache-2.0
// Threads for work that may wait: cold tables, decompression, flushes, opening exports.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

namespace hyper::nbd {

// Thread-safe. Clients take turns, and one has at most half of the threads at a time, so that one with much to do does not keep
// the others waiting. How much is queued is bounded by those who submit (requests in flight are).
class Workers {
  public:
    explicit Workers(unsigned threads);
    // Waits for what is running; what is still queued is dropped.
    ~Workers();

    // `client` tells whose turn it is; any pointer that is the client's own.
    void submit(const void* client, std::function<void()> work);

  private:
    void run();

    std::mutex mutex_;
    std::condition_variable wake_;
    struct Client {
        std::deque<std::function<void()>> queue;
        unsigned running = 0;
    };
    std::unordered_map<const void*, Client> clients_;  // guarded by mutex_; those with something queued or running
    std::deque<const void*> turns_;  // guarded by mutex_; who has something queued, and may have more running
    const unsigned running_max_;     // of one client
    bool stopping_ = false;          // guarded by mutex_
    std::vector<std::thread> threads_;
};

}  // namespace hyper::nbd
