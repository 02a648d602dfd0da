// SPDX-License-Identifier: Apache-2.0
#include "providers/timer.h"

#include <thread>

namespace hyper {

Timer& Timer::instance() {
    static Timer* one = new Timer;  // never destroyed: what waits may belong to a provider that hangs
    return *one;
}

Timer::Timer() {
    std::thread([this] { run(); }).detach();
}

void Timer::at(Clock::time_point time, std::function<void()> call) {
    std::lock_guard lock(mutex_);
    calls_.emplace(time, std::move(call));
    changed_.notify_one();
}

void Timer::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        if (calls_.empty()) {
            changed_.wait(lock);
        } else if (auto time = calls_.begin()->first; time > Clock::now()) {
            changed_.wait_until(lock, time);
        } else {
            auto call = std::move(calls_.begin()->second);
            calls_.erase(calls_.begin());
            lock.unlock();
            call();
            call = nullptr;
            lock.lock();
        }
    }
}

}  // namespace hyper
