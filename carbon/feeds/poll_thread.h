// SPDX-License-Identifier: Apache-2.0
// Polls feeds in the background: a thread a feed, so that a slow service holds up nobody else.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "blockengine/http/http.h"
#include "carbon/feeds/caller.h"
#include "carbon/feeds/signals.h"

namespace hyper::carbon {

// The end of the polling, told to requests that are under way: they stop within about a second.
class Stop {
  public:
    bool told() const { return told_; }
    void tell() { told_ = true; }

  private:
    std::atomic<bool> told_ = false;
};

// Asks by `http`, until `stop` is told. Both outlive it.
AskHttp ask_by(Http& http, const Stop& stop);

// Runs until it is destroyed. Its own methods are for one thread.
class PollThreads {
  public:
    using Clock = std::function<Instant()>;

    PollThreads(Clock clock, Stop& stop) : clock_(std::move(clock)), stop_(stop) {}
    ~PollThreads();

    // `signals` outlives this.
    template <SignalKind kind>
    void add(Signals<kind>& signals) {
        for (size_t feed = 0; feed < signals.feed_count(); feed++)
            start([&signals, feed, this](Instant now) {
                signals.poll(feed, now, [this] { return stop_.told(); });
                return signals.next_poll(feed);
            });
    }

  private:
    // `poll` is called with the time and tells when it is to be called again.
    void start(std::function<Instant(Instant)> poll);

    const Clock clock_;
    Stop& stop_;
    std::mutex mutex_;
    std::condition_variable woken_;
    std::vector<std::thread> threads_;
};

}  // namespace hyper::carbon
