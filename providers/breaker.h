// SPDX-License-Identifier: Apache-2.0
// A circuit breaker: keeps requests from an endpoint that does not answer.
//
// Design note. Closed, everything passes. After failures_max failures in a row it is open: one request passes now and then, as a probe, the
// others wait for how that ends, as long as their own time allows; so a server that restarts is only a pause to its readers. When nothing has
// succeeded for down_max, requests are refused at once. One success closes it.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>

namespace hyper {

// Thread-safe.
class Breaker {
  public:
    using Clock = std::chrono::steady_clock;
    static constexpr unsigned failures_max = 8;
    static constexpr std::chrono::milliseconds pause_min{100}, pause_max{5000};

    explicit Breaker(Clock::duration down_max) : down_max_(down_max) {}
    // That of an endpoint in this process, while anybody has it.
    static std::shared_ptr<Breaker> of(const std::string& endpoint, Clock::duration down_max);

    struct Admission {
        enum { go, wait, refused } what;
        Clock::time_point until{};  // with wait: when to ask again
        std::string why{};          // with refused: the last failure
    };
    Admission admit(Clock::time_point now);
    void succeeded();
    void failed(Clock::time_point now, const std::string& why);
    bool open() const;

  private:
    const Clock::duration down_max_;
    mutable std::mutex mutex_;
    unsigned failures_ = 0;                 // guarded by mutex_; in a row
    Clock::time_point down_since_, probe_at_;  // guarded by mutex_
    Clock::duration pause_ = pause_min;     // guarded by mutex_
    std::string why_;                       // guarded by mutex_
};

}  // namespace hyper
