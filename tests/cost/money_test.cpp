// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost/money.h"

#include <gtest/gtest.h>

namespace hyper::scheduler {
namespace {

TEST(Money, reads_and_writes_decimals_exactly) {
    for (const char* text : {"0", "0.05", "-3.5", "12", "0.000000001", "9223372036.854775807", "-0.1"}) EXPECT_EQ(money_text(*parse_money(text)), text);
    EXPECT_EQ(parse_money("0.0500000000")->nanos, 50'000'000) << "AWS writes ten places";
    EXPECT_EQ(parse_money("5.")->nanos, 5'000'000'000);
    EXPECT_EQ(parse_money(".5")->nanos, 500'000'000);
    for (const char* text : {"", "-", ".", "1e3", "0.0000000001", "9223372036.854775808", "1,5", "--1", "1.2.3", " 1"}) EXPECT_FALSE(parse_money(text)) << text;
}

TEST(Money, rounds_halves_away_from_zero_once) {
    EXPECT_EQ(amount_of({5}, 1, 2)->nanos, 3);
    EXPECT_EQ(amount_of({-5}, 1, 2)->nanos, -3);
    EXPECT_EQ(amount_of({1}, 1, 3)->nanos, 0);
    EXPECT_EQ(amount_of({2}, 1, 3)->nanos, 1);
    EXPECT_EQ(amount_of({1'000'000'000}, INT64_MAX, INT64_MAX)->nanos, 1'000'000'000) << "no overflow on the way";
    EXPECT_FALSE(amount_of({INT64_MAX}, 2, 1));
}

}  // namespace
}  // namespace hyper::scheduler
