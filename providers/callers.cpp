// SPDX-License-Identifier: Apache-2.0
#include "providers/callers.h"

#include <cerrno>
#include <thread>

namespace hyper {

struct Callers::Shared {
    std::mutex mutex;
    std::condition_variable work, idle;
    std::deque<std::function<void()>> queue;       // guarded by mutex
    size_t threads = 0, waiting = 0, unfinished = 0;  // guarded by mutex; unfinished: queued, or under way
};

namespace {

constexpr auto thread_kept_for = std::chrono::seconds(10);

}  // namespace

Callers& Callers::instance() {
    static Callers* one = new Callers;  // never destroyed: its threads may hang
    return *one;
}

Callers::Callers() : shared_(std::make_shared<Shared>()) {}

void Callers::post(std::function<void()> call) {
    std::lock_guard lock(shared_->mutex);
    shared_->queue.push_back(std::move(call));
    ++shared_->unfinished;
    shared_->work.notify_one();
    if (shared_->waiting >= shared_->queue.size() || shared_->threads >= threads_max) return;
    ++shared_->threads;
    std::thread([shared = shared_] {
        std::unique_lock held(shared->mutex);
        for (;;) {
            ++shared->waiting;
            bool found = shared->work.wait_for(held, thread_kept_for, [&] { return !shared->queue.empty(); });
            --shared->waiting;
            if (!found) break;
            {
                auto next = std::move(shared->queue.front());
                shared->queue.pop_front();
                held.unlock();
                next();
            }
            held.lock();
            --shared->unfinished;
            shared->idle.notify_all();
        }
        --shared->threads;
    }).detach();
}

Result<bool> Callers::run(Clock::time_point deadline, std::function<void()> call) {
    struct Answer {
        std::mutex mutex;
        std::condition_variable there;
        bool done = false;  // guarded by mutex
    };
    {
        std::lock_guard lock(shared_->mutex);
        if (shared_->threads >= threads_max && shared_->waiting == 0)
            return fail(EBUSY, "{} calls into providers hang; no more are made", threads_max);
    }
    auto answer = std::make_shared<Answer>();
    post([answer, call = std::move(call)]() mutable {
        call();
        call = nullptr;  // what it owned goes before its caller goes on
        std::lock_guard lock(answer->mutex);
        answer->done = true;
        answer->there.notify_all();
    });
    std::unique_lock lock(answer->mutex);
    return answer->there.wait_until(lock, deadline, [&] { return answer->done; });
}

bool Callers::drain(Clock::time_point deadline) {
    std::unique_lock lock(shared_->mutex);
    return shared_->idle.wait_until(lock, deadline, [&] { return shared_->unfinished == 0; });
}

}  // namespace hyper
