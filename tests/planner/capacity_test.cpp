// SPDX-License-Identifier: Apache-2.0
#include "scheduler/planner/capacity.h"

#include <gtest/gtest.h>

namespace hyper::scheduler {
namespace {

using std::chrono::hours;

constexpr Instant start{};

TEST(Capacity, is_used_up_in_every_step_that_a_run_touches) {
    Capacity capacity(start, hours(1), 4, 2);
    capacity.take(start + Seconds(1800), start + Seconds(5400));
    capacity.take(start, start + hours(1));
    EXPECT_FALSE(capacity.fits(start, start + Seconds(1)));
    EXPECT_TRUE(capacity.fits(start + hours(1), start + hours(4)));
    capacity.give_back(start, start + hours(1));
    EXPECT_TRUE(capacity.fits(start, start + hours(4)));
}

TEST(Capacity, has_no_room_outside) {
    Capacity capacity(start, hours(1), 4, 2);
    EXPECT_FALSE(capacity.fits(start - Seconds(1), start + hours(1)));
    EXPECT_FALSE(capacity.fits(start + hours(3), start + hours(4) + Seconds(1)));
    EXPECT_FALSE(capacity.fits(start + hours(1), start + hours(1)));
}

}  // namespace
}  // namespace hyper::scheduler
