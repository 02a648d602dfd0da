// SPDX-License-Identifier: Apache-2.0
// far-read: how fast a far file is read in order, one read at a time, over a path of some round trip and bandwidth.
//
//     far-read ROUND_TRIP_MS MBIT_PER_SECOND MIB [READ_KIB]
//
// The path is a thread of this process: an answer begins a round trip after its request at the earliest, and answers follow each
// other over the link. Prints MiB a second and the share of the bandwidth, the start included.
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "blockengine/engine.h"
#include "blockengine/fetch/fetcher.h"

namespace {

using namespace hyper;
using Clock = std::chrono::steady_clock;

class Link : public Remote {
  public:
    Link(uint64_t size_bytes, std::chrono::nanoseconds round_trip, double bytes_per_ns)
        : size_bytes_(size_bytes), round_trip_(round_trip), bytes_per_ns_(bytes_per_ns), thread_([this] { run(); }) {}
    ~Link() override {
        {
            std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        changed_.notify_all();
        thread_.join();
    }
    uint64_t size_bytes() const override { return size_bytes_; }
    const std::string& name() const override { return name_; }
    const std::string& identity() const override { return identity_; }
    uint32_t request_bytes_min() const override { return 4096; }
    uint32_t request_bytes_max() const override { return 32 << 20; }
    uint32_t requests_max() const override { return 16; }
    Run next_data(uint64_t offset, uint64_t end) const override { return {offset, end}; }
    void read(uint64_t, uint32_t length, Done done) const override {
        std::lock_guard lock(mutex_);
        auto transfer = std::chrono::nanoseconds(static_cast<int64_t>(length / bytes_per_ns_));
        free_ = std::max(free_, Clock::now() + round_trip_) + transfer;
        answers_.push_back({free_, length, std::move(done)});
        changed_.notify_all();
    }

  private:
    struct Answer {
        Clock::time_point at;
        uint32_t length;
        Done done;
    };
    void run() {
        std::unique_lock lock(mutex_);
        for (;;) {
            changed_.wait(lock, [this] { return stopping_ || !answers_.empty(); });
            if (answers_.empty()) return;
            Answer next = std::move(answers_.front());
            answers_.pop_front();
            lock.unlock();
            std::this_thread::sleep_until(next.at);
            next.done(std::make_shared<const Bytes>(next.length, std::byte{0x5a}));
            lock.lock();
        }
    }

    const uint64_t size_bytes_;
    const std::chrono::nanoseconds round_trip_;
    const double bytes_per_ns_;
    const std::string name_ = "link", identity_;
    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    mutable Clock::time_point free_;
    mutable std::deque<Answer> answers_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace

int main(int count, char** words) {
    if (count < 4) {
        std::fprintf(stderr, "usage: far-read ROUND_TRIP_MS MBIT_PER_SECOND MIB [READ_KIB]\n");
        return 2;
    }
    double bytes_per_ns = std::atof(words[2]) / 8000;
    uint64_t size = std::strtoull(words[3], nullptr, 10) * MiB;
    std::vector<std::byte> buffer((count > 4 ? std::strtoull(words[4], nullptr, 10) : 256) * KiB);
    auto link = std::make_shared<Link>(size, std::chrono::milliseconds(std::atoi(words[1])), bytes_per_ns);
    Engine engine;
    auto file = open_far(link, engine.io());
    FileSource source(file);
    auto start = Clock::now();
    for (uint64_t at = 0; at + buffer.size() <= size; at += buffer.size())
        if (auto read = engine.read(source, at, buffer); !read) {
            std::fprintf(stderr, "far-read: %s\n", read.error().message.c_str());
            return 1;
        }
    double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    double bytes_per_second = static_cast<double>(size) / seconds;
    std::printf("%.0f MiB/s, %.1f %% of the bandwidth\n", bytes_per_second / static_cast<double>(MiB), bytes_per_second / bytes_per_ns / 1e7);
    return 0;
}
