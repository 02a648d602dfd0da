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
    // For polling that begins again.
    void forget() { told_ = false; }

  private:
    std::atomic<bool> told_ = false;
};

// Asks by `http`, until `stop` is told. Both outlive it.
AskHttp ask_by(Http& http, const Stop& stop);

// Runs until it is destroyed. Its own methods are for one thread.
class PollThreads {
  public:
    using Clock = std::function<Instant()>;

    // `news` is called by the threads when something new is known (Signals::poll()).
    PollThreads(Clock clock, Stop& stop, std::function<void()> news = {}) : clock_(std::move(clock)), stop_(stop), news_(std::move(news)) {}
    ~PollThreads();

    // `signals` outlives this.
    template <SignalKind kind>
    void add(Signals<kind>& signals) {
        for (size_t feed = 0; feed < signals.feed_count(); feed++)
            start([&signals, feed, this](Instant now) {
                bool news = signals.poll(feed, now, [this] { return stop_.told(); });
                if (news && news_) news_();
                return signals.next_poll(feed);
            });
    }

    // There may be more to ask, as for a zone that was added.
    void wake();

  private:
    // `poll` is called with the time and tells when it is to be called again.
    void start(std::function<Instant(Instant)> poll);

    const Clock clock_;
    Stop& stop_;
    const std::function<void()> news_;
    std::mutex mutex_;
    uint64_t wakes_ = 0;  // guarded by mutex_
    std::condition_variable woken_;
    std::vector<std::thread> threads_;
};

}  // namespace hyper::carbon
