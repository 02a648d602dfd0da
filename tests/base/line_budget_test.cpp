// SPDX-License-Identifier: Apache-2.0
#include "blockengine/base/line_budget.h"

#include <gtest/gtest.h>

namespace hyper {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class LineBudgetTest : public testing::Test {
  protected:
    int64_t taken(int64_t asked) {
        int64_t count = 0;
        for (int64_t i = 0; i < asked; ++i) count += budget_.take(now_);
        return count;
    }
    LineBudget budget_;
    LineBudget::Time now_{seconds(1000000)};
};

TEST_F(LineBudgetTest, a_burst_is_written_and_the_rest_counted) {
    EXPECT_EQ(taken(LineBudget::burst + 7), LineBudget::burst);
    EXPECT_EQ(budget_.take_left_out(), 7u);
    EXPECT_EQ(budget_.take_left_out(), 0u);
}

TEST_F(LineBudgetTest, then_so_many_a_second) {
    (void)taken(LineBudget::burst);
    int64_t written = 0;
    for (int i = 0; i < 10000; ++i) {
        now_ += milliseconds(1);
        written += taken(3);
    }
    EXPECT_EQ(written, 10 * LineBudget::per_second);
}

TEST_F(LineBudgetTest, silence_earns_no_more_than_a_burst) {
    (void)taken(LineBudget::burst);
    now_ += std::chrono::hours(24);
    EXPECT_EQ(taken(2 * LineBudget::burst), LineBudget::burst);
}

}  // namespace
}  // namespace hyper
