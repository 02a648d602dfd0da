// SPDX-License-Identifier: Apache-2.0
#include "carbon/feeds/call_limit.h"

#include <gtest/gtest.h>

#include "tests/carbon_feeds/scratch.h"

namespace hyper::carbon {
namespace {

using namespace std::chrono;

constexpr Instant noon = sys_days(2026y / December / 31) + hours(12);

TEST(CallLimit, has_none_where_none_is_set) {
    CallLimit limit(0, 0, "");
    for (int i = 0; i < 1000; i++) ASSERT_EQ(*limit.take(noon), noon);
}

TEST(CallLimit, allows_so_many_within_any_minute) {
    CallLimit limit(2, 0, "");
    EXPECT_EQ(*limit.take(noon), noon);
    EXPECT_EQ(*limit.take(noon + seconds(10)), noon + seconds(10));
    EXPECT_EQ(*limit.take(noon + seconds(20)), noon + seconds(60));
    EXPECT_EQ(*limit.take(noon + seconds(60)), noon + seconds(60));
    EXPECT_EQ(*limit.take(noon + seconds(61)), noon + seconds(70));
}

TEST(CallLimit, counts_by_the_month_over_restarts) {
    Scratch scratch;
    std::string file = scratch.path("electricitymaps.calls");
    EXPECT_EQ(*CallLimit(0, 2, file).take(noon), noon);
    EXPECT_EQ(*CallLimit(0, 2, file).take(noon), noon);
    Instant next_month = sys_days(2027y / January / 1);
    CallLimit limit(0, 2, file);
    EXPECT_EQ(*limit.take(noon), next_month);
    EXPECT_EQ(*limit.take(next_month), next_month);
}

TEST(CallLimit, refuses_a_file_of_something_else) {
    Scratch scratch;
    auto taken = CallLimit(0, 2, scratch.secret("calls", "many")).take(noon);
    ASSERT_FALSE(taken);
    EXPECT_NE(taken.error().message.find("remove it"), std::string::npos);
}

}  // namespace
}  // namespace hyper::carbon
