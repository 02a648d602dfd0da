// SPDX-License-Identifier: Apache-2.0
#include "carbon/status.h"

#include <gtest/gtest.h>

namespace hyper::carbon {
namespace {

using namespace std::chrono;

TEST(Status, has_five_names) {
    EXPECT_STREQ(status_name(99.9), "excellent");
    EXPECT_STREQ(status_name(100), "good");
    EXPECT_STREQ(status_name(200), "moderate");
    EXPECT_STREQ(status_name(400), "poor");
    EXPECT_STREQ(status_name(600), "very poor");
}

TEST(Status, ranks_within_the_last_30_days) {
    Instant start{};
    std::vector<double> values(24 * 60, 1000);  // a month that does not count
    for (size_t i = 0; i < 24 * 30; i++) values[24 * 30 + i] = double(i);
    StepSeries history(start, hours(1), values);
    EXPECT_DOUBLE_EQ(*rank_in_last_month(-1, history, start + days(60)), 0);
    EXPECT_DOUBLE_EQ(*rank_in_last_month(180, history, start + days(60)), 180.5 / 720);
    EXPECT_DOUBLE_EQ(*rank_in_last_month(5000, history, start + days(60)), 1);
    EXPECT_EQ(rank_in_last_month(180, history, start + days(6)), std::nullopt) << "less than a week";
}

}  // namespace
}  // namespace hyper::carbon
