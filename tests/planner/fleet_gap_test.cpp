// SPDX-License-Identifier: Apache-2.0
// Against exact solvers of others, where they are installed. The fleets are the same each time.
#include <gtest/gtest.h>

#ifdef HYPER_EXACT
#include "bench/planner/gaps.h"
#endif

namespace hyper::figures {
namespace {

#ifdef HYPER_EXACT
std::vector<carbon::StepSeries> zones() {
    return synthetic_zones(8, Instant(std::chrono::hours(24 * 20000)), 96, 7);
}

void expect_small(const SmallFleetShape& shape, int count) {
    Gaps gaps = measure_gaps(shape, zones(), count, 1);
    EXPECT_GE(gaps.shares.size(), size_t(count) / 2) << gaps.impossible << " impossible, " << gaps.missed << " missed";
    EXPECT_LE(gaps.mean(), 0.01);
    EXPECT_LE(gaps.worst(), 0.1);
    EXPECT_LE(gaps.missed, count / 20);
    for (double share : gaps.shares) EXPECT_GE(share, -1e-6) << "no plan is lighter than an exact one";
}

TEST(FleetGap, is_small_where_jobs_are_interrupted) {
    expect_small({.jobs_max = 80, .steps = 72, .length_max = 5, .interruptible = true}, 40);
}

TEST(FleetGap, is_small_where_jobs_run_whole) {
    expect_small({.jobs_max = 20, .steps = 30, .length_max = 4, .targets = true}, 40);
}

TEST(FleetGap, is_small_where_jobs_wait_for_others) {
    expect_small({.jobs_max = 16, .steps = 30, .length_max = 4, .targets = true, .dependencies = true}, 40);
}
#else
TEST(FleetGap, is_small) {
    GTEST_SKIP() << "built without liblemon-dev and coinor-libcbc-dev";
}
#endif

}  // namespace
}  // namespace hyper::figures
