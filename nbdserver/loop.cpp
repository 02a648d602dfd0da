// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/loop.h"

#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

#include "nbdserver/connection.h"

namespace hyper::nbd {

namespace {

constexpr uint64_t second_ns = 1000000000;
// About what it takes to sleep and to be woken.
constexpr uint64_t look_ns = 50'000;
constexpr unsigned pause_max = 255;

uint64_t monotonic_ns() {
    timespec now;
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * second_ns + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

Result<std::unique_ptr<Loop>> Loop::make(Engine& engine, Workers& workers, watch::TraceRing* trace) {
    auto ring = TRY(Ring::make());
    int event_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event_fd < 0) return fail(errno, "eventfd: {}", errno_text(errno));
    return std::unique_ptr<Loop>(new Loop(engine, workers, trace, std::move(ring), event_fd));
}

Loop::Loop(Engine& engine, Workers& workers, watch::TraceRing* trace, std::unique_ptr<Ring> ring, int event_fd)
    : engine_(engine), workers_(workers), trace_(trace), ring_(std::move(ring)), event_fd_(event_fd) {}

Loop::~Loop() { ::close(event_fd_); }

void Loop::post(std::function<void()> work) {
    {
        std::lock_guard lock(mutex_);
        posted_.push_back(std::move(work));
        if (posted_.size() > 1) return;  // the loop was woken already
    }
    uint64_t one = 1;
    [[maybe_unused]] ssize_t written = ::write(event_fd_, &one, sizeof one);
}

void Loop::stop() {
    post([this] {
        stopping_ = true;
        for (auto& [connection, owned] : connections_) connection->close();
    });
}

void Loop::watch_events() { ring_->poll(events_, event_fd_, POLLIN); }
void Loop::watch_clock() { wake_after(clock_, clock_.deadline, second_ns); }

void Loop::wake_after(Completion& owner, Ring::Deadline& deadline, uint64_t nanoseconds) {
    uint64_t at = now_ns_ + nanoseconds;
    deadline = {static_cast<int64_t>(at / second_ns), static_cast<long long>(at % second_ns)};
    ring_->wait_until(owner, deadline);
}

void Loop::Events::completed(int, uint32_t) {
    uint64_t count;
    [[maybe_unused]] ssize_t got = ::read(loop.event_fd_, &count, sizeof count);
    std::vector<std::function<void()>> work;
    {
        std::lock_guard lock(loop.mutex_);
        work.swap(loop.posted_);
    }
    for (auto& item : work) item();
    loop.watch_events();
}

// Once a second: deadlines.
void Loop::Clock::completed(int, uint32_t) {
    for (auto& [connection, owned] : loop.connections_) connection->check_deadlines();
    loop.watch_clock();
}

void Loop::add(std::shared_ptr<Connection> connection) {
    Connection* key = connection.get();
    connections_.emplace(key, std::move(connection));
    if (stopping_)
        key->close();
    else
        key->start();
}

void Loop::pause(std::function<void(Connection&)> rested) {
    rested_ = std::move(rested);
    for (auto& [connection, owned] : connections_) connection->pause();
}

void Loop::resume() {
    rested_ = nullptr;
    for (auto& [connection, owned] : connections_) connection->resume();
}

void Loop::later(Connection& connection) {
    if (connection.set_dirty()) dirty_.push_back(&connection);
}

void Loop::wait_for_memory(Connection& connection) {
    if (std::ranges::find(waiting_, &connection) == waiting_.end()) waiting_.push_back(&connection);
}

void Loop::remove(Connection& connection) { gone_.push_back(&connection); }

// Sending frees memory, so whoever waited for it goes on, first come, first served.
void Loop::finish_turn() {
    std::vector<Connection*> dirty;
    dirty.swap(dirty_);
    for (Connection* connection : dirty) connection->finish_turn();
    for (size_t count = waiting_.size(); count > 0 && buffers_.used_bytes() < in_flight_bytes_max; --count) {
        Connection* connection = waiting_.front();
        waiting_.pop_front();
        connection->finish_turn();
        // Who still waits stays the first.
        if (!waiting_.empty() && waiting_.back() == connection) {
            waiting_.pop_back();
            waiting_.push_front(connection);
            break;
        }
    }
    for (Connection* connection : gone_) {
        std::erase(dirty_, connection);
        std::erase(waiting_, connection);
        connections_.erase(connection);
    }
    gone_.clear();
}

// Whether something came before it was time to sleep.
bool Loop::look_for_more() {
    if (pause_left_ > 0) {
        --pause_left_;
        return false;
    }
    for (const uint64_t until = monotonic_ns() + look_ns; monotonic_ns() < until; ::sched_yield()) {
        ring_->submit(false);
        if (ring_->ready()) {
            pause_ = 0;
            return true;
        }
    }
    pause_ = std::min(2 * pause_ + 1, pause_max);
    pause_left_ = pause_;
    return false;
}

void Loop::run() {
    ring_->start();
    now_ns_ = monotonic_ns();
    watch_events();
    watch_clock();
    while (!stopping_ || !connections_.empty()) {
        const bool alone = std::exchange(begun_, 0) == 1;
        // What the last turn left to do is not kept waiting.
        if (!dirty_.empty())
            ring_->submit(false);
        else if (!alone || !look_for_more())
            ring_->submit(true);
        now_ns_ = monotonic_ns();
        ring_->dispatch();
        if (ring_->queued()) {
            ring_->submit(false);
            now_ns_ = monotonic_ns();
            ring_->dispatch();
        }
        finish_turn();
    }
}

}  // namespace hyper::nbd
