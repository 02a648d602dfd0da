// SPDX-License-Identifier: Apache-2.0
// What an NBD server counts: requests, bytes, errors and latencies, for each command.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

namespace hyper::watch {

enum class Command : uint8_t { read, write, trim, write_zeroes, flush, cache, block_status };
inline constexpr size_t command_count = 7;
// "read", "write_zeroes", ...
std::string_view command_name(Command command);

// Latencies fall into buckets whose upper bounds, themselves included, are 1, 2, 4, ... us and last
// 2^24 us (16.8 s); the bucket behind those holds what took longer.
inline constexpr size_t latency_bucket_count = 26;
constexpr uint64_t latency_bucket_max_ns(size_t bucket) {
    return uint64_t{1000} << bucket;
}
size_t latency_bucket_of(uint64_t latency_ns);

// What was counted for one command, or for several together. A plain value.
struct Totals {
    uint64_t requests = 0;  // those that failed included
    uint64_t bytes = 0;     // that were asked for, by requests that did not fail
    uint64_t errors = 0;
    uint64_t latency_sum_ns = 0;
    std::array<uint64_t, latency_bucket_count> latency{};  // requests by bucket

    // One request more.
    void count(uint64_t request_bytes, uint64_t latency_ns, bool failed);
    void add(const Totals& other);
    // An estimate, linear within the bucket that holds the share (0.5, 0.99) of the requests: never
    // off by more than that bucket's width, so by less than a factor of two above 1 us. 0 where
    // there is no request; 16.8 s where it lies behind the last bound.
    uint64_t percentile_ns(double share) const;
    // 0 where there is no request.
    uint64_t mean_ns() const { return requests == 0 ? 0 : latency_sum_ns / requests; }
};

struct Statistics {
    std::array<Totals, command_count> commands{};  // by Command

    const Totals& operator[](Command command) const {
        return commands[static_cast<size_t>(command)];
    }
    void add(const Statistics& other);
    // Of all commands; but the bytes are those of read and write alone, which were moved.
    Totals sum() const;
};

// The counters of one client or of one export. Thread-safe, without locks and without allocation
// after construction.
//
// The counts lie in shards of whole cache lines. A shard that only one thread writes needs no
// locked instruction; each of the first threads of the process has such a shard in every Counters,
// all further threads share one more. read() sums them: each count is exact once its writers are
// quiet, and meanwhile counts of one request may be seen apart.
class Counters {
  public:
    enum class Writers {
        one,   // count() is called by one thread at a time, and handed over between threads with
               // synchronization
        many,  // any thread
    };
    explicit Counters(Writers writers);

    void count(Command command, uint64_t bytes, uint64_t latency_ns, bool failed);
    Statistics read() const;

  private:
    using Count = std::atomic<uint64_t>;
    struct alignas(64) Line {
        Count bytes{0}, errors{0}, latency_sum_ns{0};
        std::array<Count, latency_bucket_count> latency{};
    };
    struct Shard {
        std::array<Line, command_count> commands;
    };

    const size_t shard_count_;
    const std::unique_ptr<Shard[]> shards_;
};

}  // namespace hyper::watch
