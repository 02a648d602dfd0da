// SPDX-License-Identifier: Apache-2.0
#include "providers/breaker.h"

#include <gtest/gtest.h>

namespace hyper {
namespace {

using namespace std::chrono_literals;
using Admission = Breaker::Admission;

class BreakerTest : public testing::Test {
  protected:
    void fail_often(unsigned times) {
        for (unsigned i = 0; i < times; ++i) breaker_.failed(now_, "it is down");
    }
    Breaker::Clock::time_point now_ = Breaker::Clock::now();
    Breaker breaker_{10s};
};

TEST_F(BreakerTest, lets_all_pass_while_failures_are_few) {
    fail_often(Breaker::failures_max - 1);
    for (int i = 0; i < 10; ++i) EXPECT_EQ(breaker_.admit(now_).what, Admission::go);
    EXPECT_FALSE(breaker_.open());
}

TEST_F(BreakerTest, lets_one_probe_pass_at_a_time_once_open) {
    fail_often(Breaker::failures_max);
    EXPECT_TRUE(breaker_.open());
    auto admission = breaker_.admit(now_);
    ASSERT_EQ(admission.what, Admission::wait);
    EXPECT_EQ(breaker_.admit(admission.until).what, Admission::go);
    EXPECT_EQ(breaker_.admit(admission.until).what, Admission::wait);
}

TEST_F(BreakerTest, waits_longer_from_probe_to_probe) {
    fail_often(Breaker::failures_max);
    auto first = breaker_.admit(now_).until;
    breaker_.admit(first);
    auto second = breaker_.admit(first).until;
    breaker_.admit(second);
    auto third = breaker_.admit(second).until;
    EXPECT_GT(third - second, second - first);
}

TEST_F(BreakerTest, closes_with_one_success) {
    fail_often(Breaker::failures_max + 3);
    breaker_.succeeded();
    EXPECT_EQ(breaker_.admit(now_).what, Admission::go);
    EXPECT_EQ(breaker_.admit(now_).what, Admission::go);
}

TEST_F(BreakerTest, refuses_what_comes_when_nothing_worked_for_too_long) {
    fail_often(Breaker::failures_max);
    auto later = now_ + 11s;
    EXPECT_EQ(breaker_.admit(later).what, Admission::go) << "a probe is let through all the same";
    EXPECT_EQ(breaker_.admit(later).what, Admission::refused);
    EXPECT_EQ(breaker_.admit(later).why, "it is down");
}

TEST(Breakers, are_shared_by_an_endpoint) {
    auto one = Breaker::of("s3://a", 1s), same = Breaker::of("s3://a", 1s), other = Breaker::of("s3://b", 1s);
    EXPECT_EQ(one, same);
    EXPECT_NE(one, other);
}

}  // namespace
}  // namespace hyper
