// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost/question.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "scheduler/cost/shipped.h"

namespace hyper::scheduler {
namespace {

CostQuestion ten_gib_from_aws() {
    CostQuestion question;
    question.from = *parse_place("aws:us-east-1");
    question.changed_bytes = int64_t{10} << 30;
    question.when = *parse_instant("2026-11-23");
    return question;
}

TEST(CostQuestion, a_month_has_as_many_runs_as_fit_into_730_hours) {
    CostQuestion question = ten_gib_from_aws();
    question.every = std::chrono::hours(24);
    // 31 syncs, 332.86 GB: 232.86 of them at 0.09, and requests.
    EXPECT_EQ(money_text(estimate(shipped_prices(), question, std::nullopt)->totals.at("USD")), "22.86209269");
    question.runs = 1;
    EXPECT_EQ(money_text(estimate(shipped_prices(), question, std::nullopt)->totals.at("USD")), "0.0614418");
}

TEST(CostQuestion, says_what_is_missing_in_it) {
    auto why = [](const CostQuestion& question) { return estimate(shipped_prices(), question, std::nullopt).error(); };
    EXPECT_EQ(why({}).message.substr(0, 24), "what is to be priced? sy");
    CostQuestion question = ten_gib_from_aws();
    question.runs = -1;
    EXPECT_EQ(why(question).message, "runs: -1 is below 0");
    question.runs = 1;
    question.keep = *parse_retention("last=7");
    EXPECT_EQ(why(question).message.substr(0, 16), "keep: storage of");
    EXPECT_EQ(estimate(shipped_prices(), question, parse_place("aws:us-east-1/ia").value()).error().message.substr(0, 16), "keep: needs how ");
}

TEST(CostQuestion, a_comparison_is_in_order_of_money_and_names_what_has_no_price) {
    auto made = compare(shipped_prices(), ten_gib_from_aws(), {*parse_place("aws:us-east-1/ia"), *parse_place("aws:us-east-1/standard"), *parse_place("oci:us-ashburn-1/standard")});
    ASSERT_TRUE(made);
    ASSERT_EQ(made->targets.size(), 2u);
    EXPECT_EQ(made->targets[0].place.storage_class, "standard");
    ASSERT_EQ(made->not_priced.size(), 1u);
    EXPECT_EQ(made->not_priced[0].place.vendor, "oci");
    EXPECT_GE(compare(shipped_prices(), ten_gib_from_aws(), {})->targets.size(), 5u) << "all that have prices";
    CostQuestion nothing = ten_gib_from_aws();
    nothing.changed_bytes.reset();
    EXPECT_EQ(compare(shipped_prices(), nothing, {}).error().code, EINVAL);
}

// What stays is the same at all of them.
TEST(CostQuestion, a_comparison_of_many_targets_counts_generations_once) {
    CostQuestion question = ten_gib_from_aws();
    question.disk_bytes = int64_t{500} << 30;
    question.every = std::chrono::minutes(1);
    question.keep = *parse_retention("last=50000");
    const Place standard = *parse_place("aws:us-east-1/standard");
    auto made = compare(shipped_prices(), question, std::vector<Place>(1000, standard));
    ASSERT_TRUE(made) << made.error().message;
    ASSERT_EQ(made->targets.size(), 1000u);
    EXPECT_EQ(made->targets[999].estimate.totals, estimate(shipped_prices(), question, standard)->totals);
}

}  // namespace
}  // namespace hyper::scheduler
