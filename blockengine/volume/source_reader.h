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
    std::function<uint64_t()> bytes_per_second_now{};  // where it is set it counts instead, and is asked again while a read waits
};

// Lets amounts pass in the order in which they came, at a rate that may change meanwhile.
class RateMeter {
  public:
    using Clock = std::chrono::steady_clock;
    // Its place: it may begin when what came before it has had its time.
    double take(uint64_t amount, uint64_t per_second, Clock::time_point now);
    // How long it still takes until a place's turn comes, should the rate stay as it is. A rate of 0 is no limit.
    Clock::duration wait(double place, uint64_t per_second, Clock::time_point now);

  private:
    void pass(uint64_t per_second, Clock::time_point now);

    double taken_ = 0, passed_ = 0;
    Clock::time_point at_{};
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
    using Clock = RateMeter::Clock;

    // Naps until `left` is nothing.
    Result<void> wait_while(const std::function<Clock::duration()>& left) const;
    Result<void> wait_for_turn(uint64_t bytes);
    Clock::duration backoff(unsigned tries);

    Engine& engine_;
    const Source& source_;
    const ReadLimits limits_;
    const std::function<bool()> stop_;
    std::mutex mutex_;
    RateMeter bytes_, reads_;                          // guarded by mutex_
    std::mt19937_64 draw_{std::random_device{}()};     // guarded by mutex_
};

}  // namespace hyper
