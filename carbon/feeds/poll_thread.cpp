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

void PollThreads::start(std::function<Instant(Instant)> poll) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    threads_.emplace_back([this, poll = std::move(poll)] {
        while (!stop_.told()) {
            Instant next = poll(clock_());
            Seconds left = std::min(sleep_max, std::max(Seconds(1), next - std::min(next, clock_())));
            std::unique_lock lock(mutex_);
            woken_.wait_for(lock, left, [this] { return stop_.told(); });
        }
    });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace hyper::carbon
