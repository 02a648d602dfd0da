// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost/kept_generations.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace hyper::scheduler {
namespace {

using std::chrono::hours;

TEST(KeptGenerations, of_the_last_seven_take_the_disk_and_six_changes) {
    auto kept = keep_generations({.disk_bytes = 1000, .change_bytes = 10, .interval = hours(24), .keep = *parse_retention("last=7")});
    ASSERT_TRUE(kept) << kept.error().message;
    EXPECT_EQ(kept->count, 7);
    EXPECT_EQ(kept->stored_bytes, 1060);
    EXPECT_EQ(kept->early_byte_hours, 0) << "the target has no minimum";
}

TEST(KeptGenerations, that_go_before_the_minimum_are_billed_to_its_end) {
    // One goes a day, 168 hours old: 10 bytes * (720 - 168) hours, 730 / 24 times a month.
    auto kept = keep_generations({.disk_bytes = 1000, .change_bytes = 10, .interval = hours(24), .keep = *parse_retention("last=7"), .hours_min = 720});
    ASSERT_TRUE(kept);
    EXPECT_EQ(kept->early_byte_hours, 167900);
}

TEST(KeptGenerations, of_days_hold_what_changed_in_between) {
    // At noon those of three noons stay, two intervals apart: 1000 + 20 + 20. At midnight a newer one, and two noons: 1000 + 20 + 10.
    GenerationPlan plan{.disk_bytes = 1000, .change_bytes = 10, .interval = hours(12), .keep = *parse_retention("daily=3"), .hours_min = 48};
    auto kept = keep_generations(plan);
    ASSERT_TRUE(kept);
    EXPECT_EQ(kept->count, 3);
    EXPECT_EQ(kept->stored_bytes, 1035);
    // That of midnight goes at noon, after 12 of 48 hours: 10 * 36 * 730 / 24. That of noon goes after 60.
    EXPECT_EQ(kept->early_byte_hours, 10950);
}

TEST(KeptGenerations, never_hold_more_of_a_change_than_the_disk) {
    // As above, with changes of 600: two of them are 1000 at most. (3000 + 2600) / 2
    auto kept = keep_generations({.disk_bytes = 1000, .change_bytes = 600, .interval = hours(12), .keep = *parse_retention("daily=3")});
    ASSERT_TRUE(kept);
    EXPECT_EQ(kept->stored_bytes, 2800);
}

// A read of hyperd's API asks for these. Judged all together after each generation they took hours.
TEST(KeptGenerations, are_soon_counted_where_many_stay) {
    auto kept = keep_generations({.disk_bytes = 1'000'000, .change_bytes = 10, .interval = Seconds(60), .keep = *parse_retention("last=56000")});
    ASSERT_TRUE(kept);
    EXPECT_EQ(kept->count, 56000);
    EXPECT_EQ(kept->stored_bytes, 1'559'990);
}

TEST(KeptGenerations, that_are_too_many_are_refused_with_what_to_do) {
    auto kept = keep_generations({.disk_bytes = 1, .interval = Seconds(60), .keep = *parse_retention("daily=60")});
    ASSERT_FALSE(kept);
    EXPECT_EQ(kept.error().code, EINVAL);
    EXPECT_EQ(kept.error().message,
              "keep: it takes 130202 generations, one every 60 s, until daily=60 keeps all that it will, where 100000 are the most (try smaller numbers, or a longer every)");
}

TEST(KeptGenerations, are_bounded) {
    EXPECT_FALSE(keep_generations({.disk_bytes = 1, .interval = Seconds(60), .keep = *parse_retention("yearly=5")}));
    EXPECT_FALSE(keep_generations({.disk_bytes = 1, .interval = hours(1), .keep = *parse_retention("yearly=4294967295")}));
    EXPECT_FALSE(keep_generations({.disk_bytes = 1, .interval = Seconds(59), .keep = *parse_retention("last=1")}));
    EXPECT_FALSE(keep_generations({.disk_bytes = -1, .interval = hours(1), .keep = *parse_retention("last=1")}));
    EXPECT_TRUE(keep_generations({.disk_bytes = INT64_MAX / 1000, .change_bytes = INT64_MAX / 1000, .interval = hours(24), .keep = *parse_retention("last=7,yearly=2")}));
}

}  // namespace
}  // namespace hyper::scheduler
