// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/watch/stats.h"

#include <gtest/gtest.h>

#include <limits>
#include <thread>
#include <vector>

namespace hyper::watch {
namespace {

TEST(StatsTest, a_bucket_holds_latencies_up_to_and_with_its_bound) {
    EXPECT_EQ(latency_bucket_of(0), 0u);
    for (size_t i = 0; i + 1 < latency_bucket_count; ++i) {
        EXPECT_EQ(latency_bucket_of(latency_bucket_max_ns(i)), i);
        EXPECT_EQ(latency_bucket_of(latency_bucket_max_ns(i) + 1), i + 1);
    }
    EXPECT_EQ(latency_bucket_max_ns(latency_bucket_count - 2), 16'777'216'000u);
    EXPECT_EQ(latency_bucket_of(std::numeric_limits<uint64_t>::max()), latency_bucket_count - 1);
}

TEST(StatsTest, counts_by_command) {
    Counters counters(Counters::Writers::one);
    counters.count(Command::read, 4096, 3'000, false);
    counters.count(Command::read, 8192, 5'000, false);
    counters.count(Command::flush, 0, 1'000'000, false);
    Statistics statistics = counters.read();
    EXPECT_EQ(statistics[Command::read].requests, 2u);
    EXPECT_EQ(statistics[Command::read].bytes, 12288u);
    EXPECT_EQ(statistics[Command::read].mean_ns(), 4'000u);
    EXPECT_EQ(statistics[Command::flush].requests, 1u);
    EXPECT_EQ(statistics[Command::write].requests, 0u);
    EXPECT_EQ(statistics.sum().requests, 3u);
    EXPECT_EQ(statistics.sum().latency_sum_ns, 1'008'000u);
}

TEST(StatsTest, the_bytes_of_a_sum_are_those_that_were_moved) {
    Counters counters(Counters::Writers::one);
    counters.count(Command::read, 4096, 1'000, false);
    counters.count(Command::write, 512, 1'000, false);
    counters.count(Command::trim, uint64_t{1} << 40, 1'000, false);
    EXPECT_EQ(counters.read().sum().bytes, 4608u);
    EXPECT_EQ(counters.read()[Command::trim].bytes, uint64_t{1} << 40);
}

TEST(StatsTest, a_failed_request_counts_as_error_and_not_its_bytes) {
    Counters counters(Counters::Writers::one);
    counters.count(Command::write, 4096, 1'000, true);
    Totals totals = counters.read()[Command::write];
    EXPECT_EQ(totals.requests, 1u);
    EXPECT_EQ(totals.errors, 1u);
    EXPECT_EQ(totals.bytes, 0u);
}

TEST(StatsTest, a_percentile_lies_in_the_bucket_of_its_request) {
    Counters counters(Counters::Writers::one);
    for (int i = 0; i < 98; ++i)
        counters.count(Command::read, 1, 100'000, false);  // in 64 us .. 128 us
    for (int i = 0; i < 2; ++i)
        counters.count(Command::read, 1, 5'000'000, false);  // in 4.1 ms .. 8.2 ms
    Totals totals = counters.read()[Command::read];
    EXPECT_GT(totals.percentile_ns(0.5), 64'000u);
    EXPECT_LE(totals.percentile_ns(0.5), 128'000u);
    EXPECT_EQ(totals.percentile_ns(0.98), 128'000u);
    EXPECT_EQ(totals.percentile_ns(0.99), 4'096'000u + 2'048'000u);
}

TEST(StatsTest, percentiles_of_nothing_and_of_the_endless_have_values) {
    EXPECT_EQ(Totals().percentile_ns(0.99), 0u);
    Counters counters(Counters::Writers::one);
    counters.count(Command::read, 1, std::numeric_limits<uint64_t>::max() / 2, false);
    EXPECT_EQ(counters.read()[Command::read].percentile_ns(0.5), 16'777'216'000u);
}

// More threads than there are shards, twice, so that numbers of threads are used again.
TEST(StatsTest, no_count_is_lost_between_threads) {
    constexpr int threads = 16, requests = 20'000;
    Counters counters(Counters::Writers::many);
    for (int round = 0; round < 2; ++round) {
        std::vector<std::thread> running;
        for (int i = 0; i < threads; ++i)
            running.emplace_back([&] {
                for (int n = 0; n < requests; ++n)
                    counters.count(Command::read, 512, 2'000, n % 4 == 0);
            });
        for (std::thread& thread : running) thread.join();
    }
    Totals totals = counters.read()[Command::read];
    EXPECT_EQ(totals.requests, 2u * threads * requests);
    EXPECT_EQ(totals.errors, totals.requests / 4);
    EXPECT_EQ(totals.bytes, totals.requests / 4 * 3 * 512);
    EXPECT_EQ(totals.latency_sum_ns, totals.requests * 2'000);
}

}  // namespace
}  // namespace hyper::watch
