// SPDX-License-Identifier: Apache-2.0
#include "scheduler/jobs/measure.h"

#include <gtest/gtest.h>

#include <vector>

namespace hyper::scheduler {
namespace {

constexpr Seconds day{86400};

std::vector<SyncMeasure> measures(size_t count, uint64_t bytes = 86'400'000, double seconds = 100) {
    return std::vector<SyncMeasure>(count, SyncMeasure{"s", {}, day, bytes, bytes, seconds});
}

TEST(Measure, grows_with_the_time_since_the_last_sync) {
    auto known = measures(30);
    EXPECT_EQ(estimate_sync(known, day, 0).bytes, 86'400'000u);
    EXPECT_EQ(estimate_sync(known, day / 2, 0).bytes, 43'200'000u);
    EXPECT_EQ(estimate_sync(known, day, 0).length, Seconds(100));
    EXPECT_EQ(estimate_sync(known, day * 2, 0).length, Seconds(200));
}

TEST(Measure, widens_what_few_measurements_tell) {
    auto spread = [](size_t count) { return estimate_sync(measures(count), day, 0).length_p95; };
    EXPECT_GT(spread(1), spread(3));
    EXPECT_GT(spread(3), spread(10));
    EXPECT_EQ(spread(30), Seconds(100)) << "all of them took as long";
}

TEST(Measure, takes_the_spread_of_what_was_measured) {
    auto known = measures(30);
    for (size_t i = 0; i < 5; i++) known[i * 6].moved_bytes *= 3, known[i * 6].seconds *= 3;
    SyncSize size = estimate_sync(known, day, 0);
    EXPECT_EQ(size.length, Seconds(100));
    EXPECT_GE(size.length_p95, Seconds(290));
}

TEST(Measure, tells_a_restore_by_the_first_sync) {
    EXPECT_FALSE(estimate_restore(measures(30))) << "how much there is on the disk is not known";
    auto known = measures(1, 8'640'000'000, 5000);
    known[0].since = Seconds(0);
    for (int i = 0; i < 100; i++) {
        known.push_back(measures(1)[0]);
        drop_unused(known);
    }
    EXPECT_EQ(known.size(), measures_used + 1) << "the first one is kept";
    auto restore = estimate_restore(known);
    ASSERT_TRUE(restore);
    EXPECT_EQ(restore->bytes, 8'640'000'000u);
    EXPECT_EQ(restore->length, Seconds(10000)) << "at the rate of most";
}

TEST(Measure, is_a_guess_where_nothing_was_measured) {
    EXPECT_FALSE(estimate_sync({}, day, 0).measured);
    EXPECT_FALSE(estimate_sync(measures(3), Seconds(0), 0).measured) << "later syncs tell nothing of the first one";
}

TEST(Measure, bounds_later_syncs_by_the_first_one) {
    std::vector<SyncMeasure> first{{"s", {}, Seconds(0), 1000, 1000, 100}};
    EXPECT_EQ(estimate_sync(first, day, 0).bytes_p95, 1000u);
    EXPECT_EQ(estimate_sync(first, day, 0).length, Seconds(50));
}

TEST(Measure, is_not_faster_than_limits_allow) {
    EXPECT_EQ(estimate_sync(measures(30), day, 86'400).length, Seconds(1000));
}

TEST(Measure, forgets_what_is_old) {
    auto known = measures(30, 1, 1);
    auto newer = measures(measures_used);
    known.insert(known.end(), newer.begin(), newer.end());
    EXPECT_EQ(estimate_sync(known, day, 0).bytes, 86'400'000u);
}

TEST(Measure, knows_syncs_that_found_nothing) {
    SyncSize size = estimate_sync(measures(30, 0, 7), day, 0);
    EXPECT_EQ(size.bytes, 0u);
    EXPECT_EQ(size.length, Seconds(7));
}

}  // namespace
}  // namespace hyper::scheduler
