// SPDX-License-Identifier: Apache-2.0
// A progress line on standard error, by bytes that move and not by the disk's size.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>

namespace hyper::ctl {

// Thread-safe. Draws at most five times a second.
class Progress {
  public:
    // `total_bytes` is what will move; nothing is drawn unless `shown`.
    Progress(bool shown, uint64_t total_bytes);
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    void add(uint64_t bytes);

  private:
    using Clock = std::chrono::steady_clock;
    void draw(Clock::time_point now);

    const bool shown_;
    const uint64_t total_bytes_;
    const Clock::time_point start_ = Clock::now();
    std::mutex mutex_;
    uint64_t done_bytes_ = 0;   // guarded by mutex_
    Clock::time_point drawn_;   // guarded by mutex_
};

}  // namespace hyper::ctl
