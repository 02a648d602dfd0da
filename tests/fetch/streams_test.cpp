// SPDX-License-Identifier: Apache-2.0
#include "blockengine/fetch/streams.h"

#include <gtest/gtest.h>

namespace hyper {
namespace {

constexpr Streams::Limits limits{8 * MiB, MiB, GiB};

// Reads [offset, offset + length) in steps; up to where it was announced.
uint64_t read_run(Streams& streams, uint64_t offset, uint64_t length, uint64_t step) {
    uint64_t until = 0;
    for (uint64_t at = offset; at < offset + length; at += step)
        if (auto ahead = streams.read(at, step, limits); ahead.length > 0) {
            EXPECT_GE(ahead.offset, at + step);
            EXPECT_GE(ahead.offset, until) << "announced twice";
            until = ahead.offset + ahead.length;
        }
    return until;
}

TEST(Streams, announces_nothing_for_a_first_read) {
    Streams streams;
    EXPECT_EQ(streams.read(5 * MiB, 4096, limits).length, 0u);
}

TEST(Streams, announces_at_most_twice_what_was_read_in_a_row) {
    Streams streams;
    EXPECT_EQ(read_run(streams, 0, Streams::bytes_before, 4096), 3 * Streams::bytes_before);
}

TEST(Streams, announces_as_much_as_it_may_once_a_stream_is_long) {
    Streams streams;
    uint64_t until = read_run(streams, 0, 64 * MiB, 64 * KiB);
    EXPECT_GT(until, 64 * MiB + limits.ahead_bytes - 2 * limits.step_bytes);
    EXPECT_LE(until, 64 * MiB + limits.ahead_bytes);
}

TEST(Streams, share_what_may_be_announced) {
    Streams streams;
    for (uint64_t i = 0; i < 512; ++i) {
        streams.read(i * 64 * KiB, 64 * KiB, limits);
        streams.read(512 * MiB + i * 64 * KiB, 64 * KiB, limits);
    }
    uint64_t until = read_run(streams, 512 * 64 * KiB, 32 * MiB, 64 * KiB);
    EXPECT_LE(until, 64 * MiB + limits.ahead_bytes / 2);
}

TEST(Streams, survive_requests_in_another_order) {
    Streams streams;
    uint64_t announced = 0;
    for (uint64_t i = 0; i < 256; ++i) announced += streams.read((i ^ 3) * 256 * KiB, 256 * KiB, limits).length;
    EXPECT_GT(announced, 60 * MiB);
    EXPECT_LT(announced, 74 * MiB);
}

TEST(Streams, never_announce_past_the_end) {
    Streams streams;
    Streams::Limits small{8 * MiB, MiB, 3 * MiB + 17};
    uint64_t until = 0;
    for (uint64_t at = 0; at < 3 * MiB; at += 64 * KiB)
        if (auto ahead = streams.read(at, 64 * KiB, small); ahead.length > 0) until = ahead.offset + ahead.length;
    EXPECT_EQ(until, small.size_bytes);
}

TEST(Streams, scattered_small_reads_are_none) {
    Streams streams;
    for (uint64_t i = 0; i < 10000; ++i)
        EXPECT_EQ(streams.read((i * 7919 % 10000) * 100 * KiB, 4096, limits).length, 0u) << i;
}

}  // namespace
}  // namespace hyper
