// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/source_reader.h"

#include <gtest/gtest.h>

namespace hyper {
namespace {

using namespace std::chrono_literals;

class RateMeterTest : public testing::Test {
  protected:
    RateMeter meter;
    const RateMeter::Clock::time_point start = RateMeter::Clock::time_point(1000s);
};

TEST_F(RateMeterTest, lets_each_wait_until_the_ones_before_have_had_their_time) {
    double first = meter.take(100, 10, start), second = meter.take(50, 10, start), third = meter.take(1, 10, start);
    EXPECT_EQ(meter.wait(first, 10, start), 0s);
    EXPECT_EQ(meter.wait(second, 10, start), 10s);
    EXPECT_EQ(meter.wait(third, 10, start), 15s);
    EXPECT_EQ(meter.wait(second, 10, start + 10s), 0s);
    EXPECT_EQ(meter.wait(third, 10, start + 10s), 5s);
}

TEST_F(RateMeterTest, saves_nothing_up) {
    meter.take(10, 10, start);
    double first = meter.take(100, 10, start + 1000s), second = meter.take(1, 10, start + 1000s);
    EXPECT_EQ(meter.wait(first, 10, start + 1000s), 0s);
    EXPECT_EQ(meter.wait(second, 10, start + 1000s), 10s);
}

// Also for what waits already.
TEST_F(RateMeterTest, follows_a_rate_that_changes) {
    meter.take(1000, 1, start);
    double waiting = meter.take(1, 1, start);
    EXPECT_EQ(meter.wait(waiting, 1, start), 1000s);
    EXPECT_EQ(meter.wait(waiting, 1, start + 500s), 500s);
    EXPECT_EQ(meter.wait(waiting, 100, start + 500s), 5s);
    EXPECT_EQ(meter.wait(waiting, 1, start + 502s), 498s);
    EXPECT_EQ(meter.wait(waiting, 0, start + 502s), 0s) << "no limit";
}

}  // namespace
}  // namespace hyper
