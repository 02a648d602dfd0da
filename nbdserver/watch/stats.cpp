// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/watch/stats.h"

#include <algorithm>
#include <bit>
#include <mutex>
#include <thread>

namespace hyper::watch {

namespace {

constexpr size_t own_shards_max = 8;

// How many threads can have a shard of their own: there is no use in more than run at once.
size_t own_shard_count() {
    static const size_t count =
        std::clamp<size_t>(std::thread::hardware_concurrency(), 1, own_shards_max);
    return count;
}

// Numbers for threads, the lowest that is free; given back when the thread ends. The mutex makes
// what the thread wrote visible to the next one of that number.
class ThreadNumber {
  public:
    ThreadNumber() {
        std::lock_guard lock(mutex);
        while (number_ < own_shards_max && taken[number_]) ++number_;
        if (number_ < own_shards_max) taken[number_] = true;
    }
    ~ThreadNumber() {
        std::lock_guard lock(mutex);
        if (number_ < own_shards_max) taken[number_] = false;
    }
    size_t number() const { return number_; }

  private:
    static std::mutex mutex;
    static std::array<bool, own_shards_max> taken;  // guarded by mutex
    size_t number_ = 0;
};
std::mutex ThreadNumber::mutex;
std::array<bool, own_shards_max> ThreadNumber::taken{};

size_t thread_number() {
    thread_local const ThreadNumber number;
    return number.number();
}

void add_alone(std::atomic<uint64_t>& count, uint64_t amount) {
    count.store(count.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
}
void add_shared(std::atomic<uint64_t>& count, uint64_t amount) {
    count.fetch_add(amount, std::memory_order_relaxed);
}

}  // namespace

std::string_view command_name(Command command) {
    constexpr std::string_view names[] = {"read",  "write", "trim",        "write_zeroes",
                                          "flush", "cache", "block_status"};
    static_assert(std::size(names) == command_count);
    return names[static_cast<size_t>(command)];
}

size_t latency_bucket_of(uint64_t latency_ns) {
    if (latency_ns <= 1000) return 0;
    uint64_t whole_us = (latency_ns - 1) / 1000;  // rounded up, less one: 1 for 1001 ns to 2000 ns
    return std::min<size_t>(std::bit_width(whole_us), latency_bucket_count - 1);
}

void Totals::count(uint64_t request_bytes, uint64_t latency_ns, bool failed) {
    ++requests;
    ++latency[latency_bucket_of(latency_ns)];
    latency_sum_ns += latency_ns;
    failed ? ++errors : bytes += request_bytes;
}

void Totals::add(const Totals& other) {
    requests += other.requests;
    bytes += other.bytes;
    errors += other.errors;
    latency_sum_ns += other.latency_sum_ns;
    for (size_t i = 0; i < latency.size(); ++i) latency[i] += other.latency[i];
}

uint64_t Totals::percentile_ns(double share) const {
    double wanted = share * static_cast<double>(requests), below = 0;
    if (requests == 0) return 0;
    for (size_t i = 0; i + 1 < latency.size(); ++i) {
        double here = static_cast<double>(latency[i]);
        if (here > 0 && below + here >= wanted) {
            double low = i == 0 ? 0 : static_cast<double>(latency_bucket_max_ns(i - 1));
            double high = static_cast<double>(latency_bucket_max_ns(i));
            return static_cast<uint64_t>(low + (high - low) * std::max(wanted - below, 0.0) / here);
        }
        below += here;
    }
    return latency_bucket_max_ns(latency_bucket_count - 2);
}

void Statistics::add(const Statistics& other) {
    for (size_t i = 0; i < commands.size(); ++i) commands[i].add(other.commands[i]);
}

Totals Statistics::sum() const {
    Totals sum;
    for (const Totals& totals : commands) sum.add(totals);
    sum.bytes = (*this)[Command::read].bytes + (*this)[Command::write].bytes;
    return sum;
}

Counters::Counters(Writers writers)
    : shard_count_(writers == Writers::one ? 1 : own_shard_count() + 1),
      shards_(std::make_unique<Shard[]>(shard_count_)) {}

void Counters::count(Command command, uint64_t bytes, uint64_t latency_ns, bool failed) {
    size_t shard = shard_count_ == 1 ? 0 : std::min(thread_number(), shard_count_ - 1);
    bool alone = shard_count_ == 1 || shard + 1 < shard_count_;
    Line& line = shards_[shard].commands[static_cast<size_t>(command)];
    auto add = alone ? add_alone : add_shared;
    add(line.latency[latency_bucket_of(latency_ns)], 1);
    add(line.latency_sum_ns, latency_ns);
    if (failed) [[unlikely]]
        add(line.errors, 1);
    else
        add(line.bytes, bytes);
}

Statistics Counters::read() const {
    Statistics statistics;
    for (size_t shard = 0; shard < shard_count_; ++shard) {
        for (size_t i = 0; i < command_count; ++i) {
            const Line& line = shards_[shard].commands[i];
            Totals& totals = statistics.commands[i];
            totals.bytes += line.bytes.load(std::memory_order_relaxed);
            totals.errors += line.errors.load(std::memory_order_relaxed);
            totals.latency_sum_ns += line.latency_sum_ns.load(std::memory_order_relaxed);
            for (size_t bucket = 0; bucket < latency_bucket_count; ++bucket) {
                uint64_t requests = line.latency[bucket].load(std::memory_order_relaxed);
                totals.latency[bucket] += requests;
                totals.requests += requests;
            }
        }
    }
    return statistics;
}

}  // namespace hyper::watch
