// SPDX-License-Identifier: Apache-2.0
#include "carbon/feeds/poll_thread.h"

#include <csignal>

namespace hyper::carbon {
namespace {

// A clock may be set while a thread sleeps.
constexpr Seconds sleep_max = std::chrono::minutes(1);

}  // namespace

AskHttp ask_by(Http& http, const Stop& stop) {
    return [&http, &stop](HttpRequest request) {
        request.cancelled = [&stop] { return stop.told(); };
        return http.ask(std::move(request));
    };
}

PollThreads::~PollThreads() {
    {
        std::lock_guard lock(mutex_);
        stop_.tell();
    }
    woken_.notify_all();
    for (std::thread& thread : threads_) thread.join();
}

void PollThreads::wake() {
    {
        std::lock_guard lock(mutex_);
        wakes_++;
    }
    woken_.notify_all();
}

void PollThreads::start(std::function<Instant(Instant)> poll) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    threads_.emplace_back([this, poll = std::move(poll)] {
        std::unique_lock lock(mutex_);
        while (!stop_.told()) {
            uint64_t seen = wakes_;
            lock.unlock();
            Instant next = poll(clock_());
            Seconds left = std::min(sleep_max, std::max(Seconds(1), next - std::min(next, clock_())));
            lock.lock();
            woken_.wait_for(lock, left, [&] { return stop_.told() || wakes_ != seen; });
        }
    });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace hyper::carbon
