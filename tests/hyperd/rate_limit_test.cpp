// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/rate_limit.h"

#include <gtest/gtest.h>

namespace hyper::hyperd {

namespace {

using std::chrono::milliseconds;
constexpr RateLimit::Time begin{std::chrono::hours(1000)};

TEST(RateLimit, lets_in_a_burst_and_then_so_many_a_second) {
    RateLimit limit(10, 3);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(limit.take("a", begin).count(), 0);
    EXPECT_EQ(limit.take("a", begin), milliseconds(100));
    EXPECT_EQ(limit.take("a", begin + milliseconds(99)), milliseconds(1));
    EXPECT_EQ(limit.take("a", begin + milliseconds(100)).count(), 0);
    EXPECT_GT(limit.take("a", begin + milliseconds(100)).count(), 0);
}

TEST(RateLimit, one_origin_does_not_use_up_what_another_has) {
    RateLimit limit(1, 1);
    EXPECT_EQ(limit.take("a", begin).count(), 0);
    EXPECT_GT(limit.take("a", begin).count(), 0);
    EXPECT_EQ(limit.take("b", begin).count(), 0);
}

TEST(RateLimit, more_origins_than_it_remembers_do_no_harm) {
    RateLimit limit(1, 1);
    for (size_t i = 0; i < 3 * RateLimit::origins_max; ++i) EXPECT_EQ(limit.take(std::to_string(i), begin).count(), 0);
}

}  // namespace

}  // namespace hyper::hyperd
