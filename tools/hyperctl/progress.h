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
    // As a line for people, or, for programs, as lines {"done-bytes": N, "total-bytes": N}.
    enum class Shown { no, text, json };

    // `total_bytes` is what will move.
    Progress(Shown shown, uint64_t total_bytes);
    Progress(bool shown, uint64_t total_bytes) : Progress(shown ? Shown::text : Shown::no, total_bytes) {}
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    void add(uint64_t bytes);

  private:
    using Clock = std::chrono::steady_clock;
    void draw(Clock::time_point now);

    const Shown shown_;
    const uint64_t total_bytes_;
    const Clock::time_point start_ = Clock::now();
    std::mutex mutex_;
    uint64_t done_bytes_ = 0;   // guarded by mutex_
    Clock::time_point drawn_;   // guarded by mutex_
};

}  // namespace hyper::ctl
