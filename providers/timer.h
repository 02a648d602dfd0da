// SPDX-License-Identifier: Apache-2.0
// Calls functions at times: for deadlines and for trying again.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>

namespace hyper {

// Thread-safe. Functions are called in one thread, and must not wait.
class Timer {
  public:
    using Clock = std::chrono::steady_clock;
    static Timer& instance();
    void at(Clock::time_point time, std::function<void()> call);

  private:
    Timer();
    void run();
    std::mutex mutex_;
    std::condition_variable changed_;
    std::multimap<Clock::time_point, std::function<void()>> calls_;  // guarded by mutex_
};

}  // namespace hyper
