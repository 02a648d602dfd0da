// SPDX-License-Identifier: Apache-2.0
// Reads a source that may be far away: tries again, and keeps to limits.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <random>
#include <span>

#include "blockengine/engine.h"
#include "blockengine/source.h"

namespace hyper {

struct ReadLimits {
    unsigned retries_max = 5;  // of one read
    uint64_t bytes_per_second_max = 0, reads_per_second_max = 0;  // 0: no limit
};

// Thread-safe.
class SourceReader {
  public:
    // `stop` is asked while waiting; true ends it with ECANCELED.
    SourceReader(Engine& engine, const Source& source, const ReadLimits& limits, std::function<bool()> stop)
        : engine_(engine), source_(source), limits_(limits), stop_(std::move(stop)) {}

    // Errors: the last one, after retries_max more tries, each after a random time (exponential, full jitter:
    // https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). ESTALE is not tried again.
    Result<void> read(uint64_t offset, std::span<std::byte> buffer);
    const Source& source() const { return source_; }

  private:
    using Clock = std::chrono::steady_clock;

    Result<void> wait_until(Clock::time_point time) const;
    Clock::time_point turn_for(uint64_t bytes);
    Clock::duration backoff(unsigned tries);

    Engine& engine_;
    const Source& source_;
    const ReadLimits limits_;
    const std::function<bool()> stop_;
    std::mutex mutex_;
    Clock::time_point bytes_free_at_, reads_free_at_;  // guarded by mutex_
    std::mt19937_64 draw_{std::random_device{}()};     // guarded by mutex_
};

}  // namespace hyper
