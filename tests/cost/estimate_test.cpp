// SPDX-License-Identifier: Apache-2.0
// Estimates that were computed by hand, as their comments say. The prices are made for the arithmetic.
#include "scheduler/cost/estimate.h"

#include <gtest/gtest.h>

namespace hyper::scheduler {
namespace {

constexpr std::string_view price_file = R"(vendor,service,family,region,sku,attributes,purchase_option,unit,start,end,price,currency,effective,source
aws,ebs,snapshot,us-east-1,standard,,,GiB-month,0,,0.05,USD,2026-01-01,one
aws,ebs,direct,us-east-1,list,,,1k requests,0,,0.0006,USD,2026-01-01,two
aws,ebs,direct,us-east-1,get,,,1k requests,0,,0.003,USD,2026-01-01,three
aws,ebs,direct,us-east-1,put,,,1k requests,0,,0.006,USD,2026-01-01,three
aws,net,egress,us-east-1,internet,,,GB,0,100,0,USD,2026-01-01,four
aws,net,egress,us-east-1,internet,,,GB,100,10240,0.09,USD,2026-01-01,four
aws,net,egress,us-east-1,internet,,,GB,10240,,0.085,USD,2026-01-01,four
aws,net,egress,us-east-1,region,,,GB,0,,0.02,USD,2026-01-01,four
aws,net,egress,us-east-1,to-us-east-2,,,GB,0,,0.01,USD,2026-01-01,four
aws,s3,storage,us-east-1,standard,,,GiB-month,0,,0.023,USD,2026-01-01,five
aws,s3,storage,us-west-2,standard,,,GiB-month,0,,0.023,USD,2026-01-01,five
aws,s3,requests,us-east-1,standard-put,,,1k requests,0,,0.005,USD,2026-01-01,five
aws,s3,requests,us-west-2,standard-put,,,1k requests,0,,0.005,USD,2026-01-01,five
aws,s3,requests,us-east-2,standard-put,,,1k requests,0,,0.005,USD,2026-01-01,five
aws,s3,requests,us-east-1,standard-get,,,1k requests,0,,0.0004,USD,2026-01-01,five
aws,s3,storage,us-east-1,ia,min=30d,,GiB-month,0,,0.0125,USD,2026-01-01,five
aws,s3,requests,us-east-1,ia-get,,,1k requests,0,,0.001,USD,2026-01-01,five
aws,s3,retrieval,us-east-1,ia,,,GiB,0,,0.01,USD,2026-01-01,five
aws,s3,storage,us-east-1,glacier,min=90d,,GiB-month,0,,0.0036,USD,2026-01-01,five
aws,s3,requests,us-east-1,glacier-get,,,1k requests,0,,0.0004,USD,2026-01-01,five
gcp,gcs,storage,us-central1,standard,,,GiB-month,0,,0.02,USD,2026-01-01,six
gcp,gcs,requests,any,standard-put,,,1k requests,0,,0.005,USD,2026-01-01,six
gcp,net,ingress,any,internet,,,GB,0,,0,USD,2026-01-01,six
euro,object,storage,north,cold,,,GB-month,0,,0.005,EUR,2026-01-01,seven
euro,object,requests,north,cold-put,,,1k requests,0,,0.01,EUR,2026-01-01,seven
odd,object,requests,x,standard-put,,,GB,0,,0.01,USD,2026-01-01,eight
)";

const Prices& prices() {
    static const Prices read = *Prices::read(*CsvTable::parse(price_file, "prices.csv"));
    return read;
}

const Instant when = *parse_instant("2026-03-15");
constexpr int64_t MiB = int64_t{1} << 20, GiB = int64_t{1} << 30, GB = 1'000'000'000;
const Place virginia{"aws", "us-east-1", ""}, s3{"aws", "us-east-1", "standard"}, oregon{"aws", "us-west-2", "standard"}, iowa{"gcp", "us-central1", "standard"};

std::string total(const Result<Estimate>& estimate) {
    if (!estimate) return estimate.error().message;
    std::string text;
    for (const auto& [currency, amount] : estimate->totals) text += money_text(amount) + " " + currency + ";";
    return text;
}

std::string amount(const Estimate& estimate, std::string_view element) {
    Money sum;
    for (const CostLine& line : estimate.lines)
        if (line.element == element) sum = sum + line.amount;
    return money_text(sum);
}

TEST(Estimate, of_a_sync_out_of_aws_has_requests_egress_and_writes) {
    auto estimate = estimate_syncs(prices(), {.from = virginia, .to = iowa, .changed_bytes = 100 * GiB, .sent_bytes = 100 * GiB}, when);
    ASSERT_TRUE(estimate) << estimate.error().message;
    // 100 GiB are 204800 blocks of 512 KiB, on 21 pages of 10000.
    EXPECT_EQ(amount(*estimate, "list changed blocks"), "0.0000126");
    EXPECT_EQ(amount(*estimate, "get blocks of 512 KiB"), "0.6144");
    // 107.3741824 GB, of which 100 are free: 7.3741824 * 0.09 = 0.663676416
    EXPECT_EQ(amount(*estimate, "egress to the internet"), "0.663676416");
    EXPECT_EQ(amount(*estimate, "ingress"), "0");
    // 12800 parts of 8 MiB, and two: 12.802 * 0.005
    EXPECT_EQ(amount(*estimate, "write requests"), "0.06401");
    // 0.0000126 + 0.6144 + 0.663676416 + 0.06401
    EXPECT_EQ(total(estimate), "1.342099016 USD;");
}

TEST(Estimate, shows_what_each_line_rests_on) {
    auto estimate = estimate_syncs(prices(), {.from = virginia, .changed_bytes = 200 * GB, .sent_bytes = 200 * GB}, when);
    ASSERT_TRUE(estimate);
    const CostLine& last = estimate->lines.back();
    EXPECT_EQ(last.element, "egress to the internet");
    EXPECT_EQ(last.key.text(), "aws/net/egress/us-east-1/internet");
    EXPECT_EQ(last.quantity, 100 * GB) << "the free ones are a line of their own";
    EXPECT_EQ(last.unit.name, "GB");
    EXPECT_EQ(money_text(last.price), "0.09");
    EXPECT_EQ(money_text(last.amount), "9");
    EXPECT_EQ(last.currency, "USD");
    EXPECT_EQ(last.source, "four");
    EXPECT_EQ(last.effective, *parse_instant("2026-01-01"));
}

TEST(Estimate, goes_on_after_what_the_account_has_sent) {
    SyncToPrice sync{.from = virginia, .changed_bytes = 0, .sent_bytes = 20 * GB, .sent_before_bytes = 90 * GB};
    // 10 free, 10 * 0.09; and one page that lists nothing, 0.0006 / 1000
    EXPECT_EQ(total(estimate_syncs(prices(), sync, when)), "0.9000006 USD;");
    sync.sent_before_bytes = 10230 * GB;
    // 10 * 0.09 + 10 * 0.085
    EXPECT_EQ(total(estimate_syncs(prices(), sync, when)), "1.7500006 USD;");
}

TEST(Estimate, of_a_month_carries_tiers_from_run_to_run) {
    SyncToPrice syncs{.from = virginia, .to = iowa, .changed_bytes = 10 * GB, .sent_bytes = 10 * GB, .runs = 30};
    auto estimate = estimate_syncs(prices(), syncs, when);
    ASSERT_TRUE(estimate) << estimate.error().message;
    // 300 GB, 100 of them free: 200 * 0.09. One run alone would be free.
    EXPECT_EQ(amount(*estimate, "egress to the internet"), "18");
    // 10 GB are 19073.49 blocks, so 19074 of them each run, 572220 in all: 572.22 * 0.003
    EXPECT_EQ(amount(*estimate, "get blocks of 512 KiB"), "1.71666");
    // two pages a run, 60: 0.06 * 0.0006
    EXPECT_EQ(amount(*estimate, "list changed blocks"), "0.000036");
    // 1192.09 parts, so 1193 and two a run, 35850: 35.85 * 0.005
    EXPECT_EQ(amount(*estimate, "write requests"), "0.17925");
    EXPECT_EQ(total(estimate), "19.895946 USD;");
}

TEST(Estimate, of_another_region_takes_the_price_of_the_pair_first) {
    // 100 GB: 190735 blocks on 20 pages: 0.572205 + 0.000012
    auto west = estimate_syncs(prices(), {.from = virginia, .to = oregon, .changed_bytes = 100 * GB, .sent_bytes = 100 * GB, .part_bytes = 100 * MiB}, when);
    ASSERT_TRUE(west) << west.error().message;
    EXPECT_EQ(amount(*west, "egress to us-west-2"), "2");
    // 953.67 parts of 100 MiB, so 954 and two: 0.956 * 0.005 = 0.00478
    EXPECT_EQ(total(west), "2.576997 USD;");
    auto ohio = estimate_syncs(prices(), {.from = virginia, .to = Place{"aws", "us-east-2", "standard"}, .changed_bytes = 100 * GB, .sent_bytes = 100 * GB}, when);
    ASSERT_TRUE(ohio) << ohio.error().message;
    EXPECT_EQ(amount(*ohio, "egress to us-east-2"), "1");
}

TEST(Estimate, within_a_region_has_no_egress) {
    auto estimate = estimate_syncs(prices(), {.from = virginia, .to = s3, .changed_bytes = MiB, .sent_bytes = MiB}, when);
    // one page, two blocks, one write: 0.0000006 + 0.000006 + 0.000005
    EXPECT_EQ(total(estimate), "0.0000116 USD;");
}

TEST(Estimate, of_a_sync_from_home_has_only_writes) {
    EXPECT_EQ(total(estimate_syncs(prices(), {.to = s3, .changed_bytes = GiB, .sent_bytes = GiB / 2}, when)), "0.00033 USD;") << "64 parts and two";
    EXPECT_EQ(total(estimate_syncs(prices(), {.to = s3, .changed_bytes = GiB, .sent_bytes = 0}, when)), "0 USD;");
    EXPECT_EQ(total(estimate_syncs(prices(), {.changed_bytes = GiB, .sent_bytes = GiB}, when)), "") << "nobody is paid";
}

TEST(Estimate, into_snapshots_puts_blocks) {
    // 2048 blocks: 2.048 * 0.006
    EXPECT_EQ(total(estimate_syncs(prices(), {.to = virginia, .changed_bytes = GiB, .sent_bytes = GiB}, when)), "0.012288 USD;");
}

TEST(Estimate, from_a_cold_class_pays_for_retrieval) {
    // 1 GiB: 128 reads of 8 MiB at 0.001, retrieval 0.01
    EXPECT_EQ(total(estimate_syncs(prices(), {.from = Place{"aws", "us-east-1", "ia"}, .to = Place{"aws", "us-east-1", "standard"}, .changed_bytes = GiB, .sent_bytes = 0}, when)),
              "0.010128 USD;");
    // A class that is kept warm takes nothing: 128 reads at 0.0004
    EXPECT_EQ(total(estimate_syncs(prices(), {.from = s3, .to = s3, .changed_bytes = GiB, .sent_bytes = 0}, when)), "0.0000512 USD;");
}

TEST(Estimate, is_refused_where_a_price_is_missing) {
    auto cold = estimate_syncs(prices(), {.from = Place{"aws", "us-east-1", "glacier"}, .to = s3, .changed_bytes = GiB, .sent_bytes = GiB}, when);
    ASSERT_FALSE(cold) << "a class with a minimum, and no price for reading";
    EXPECT_EQ(cold.error().message, "no price of aws/s3/retrieval/us-east-1/glacier on 2026-03-15 (import a price file)");
    EXPECT_EQ(cold.error().code, ENOENT);
    EXPECT_EQ(total(estimate_syncs(prices(), {.to = Place{"aws", "us-east-1", "ia"}, .changed_bytes = 1, .sent_bytes = 1}, when)),
              "no price of aws/s3/requests/us-east-1/ia-put on 2026-03-15 (import a price file)");
    EXPECT_EQ(estimate_syncs(prices(), {.to = s3, .changed_bytes = 1, .sent_bytes = 1}, *parse_instant("2025-12-31")).error().code, ENOENT);
    EXPECT_EQ(estimate_syncs(prices(), {.to = Place{"odd", "x", "standard"}, .changed_bytes = 1, .sent_bytes = 1}, when).error().message,
              "price of odd/object/requests/x/standard-put is for a GB, which is no count of requests");
    EXPECT_EQ(estimate_syncs(prices(), {.from = Place{"azure", "eastus2", ""}, .changed_bytes = 1, .sent_bytes = 1}, when).error().code, EINVAL);
    EXPECT_EQ(estimate_syncs(prices(), {.from = virginia, .to = iowa, .changed_bytes = 1, .sent_bytes = INT64_MAX, .runs = 30}, when).error().code, ERANGE);
}

TEST(Estimate, never_adds_two_currencies) {
    Place north{"euro", "north", "cold"};
    auto estimate = estimate_syncs(prices(), {.from = virginia, .to = north, .changed_bytes = 200 * GB, .sent_bytes = 200 * GB, .part_bytes = GB}, when);
    ASSERT_TRUE(estimate) << estimate.error().message;
    // 381470 blocks on 39 pages: 1.14441 + 0.0000234, and 100 * 0.09; 202 writes: 0.202 * 0.01
    EXPECT_EQ(total(estimate), "0.00202 EUR;10.1444334 USD;");
}

TEST(Estimate, of_storage_bills_what_was_deleted_too_soon) {
    // 100 * 0.0125; and 10 GiB for 480 hours: 4800 / 730 * 0.0125 = 0.082191781
    auto estimate = estimate_storage(prices(), {{"aws", "us-east-1", "ia"}, 100 * GiB, 10 * GiB * 480}, when);
    ASSERT_TRUE(estimate) << estimate.error().message;
    EXPECT_EQ(amount(*estimate, "storage"), "1.25");
    EXPECT_EQ(amount(*estimate, "deleted before its minimum"), "0.082191781");
    EXPECT_EQ(total(estimate), "1.332191781 USD;");
    EXPECT_EQ(total(estimate_storage(prices(), {virginia, 100 * GiB, 0}, when)), "5 USD;") << "snapshots";
    EXPECT_EQ(total(sum(*estimate, *estimate_storage(prices(), {{"euro", "north", "cold"}, 1000 * GB, 0}, when))), "5 EUR;1.332191781 USD;");
}

TEST(Place, has_a_vendor_a_region_and_perhaps_a_class) {
    EXPECT_EQ(parse_place("aws:us-east-1/standard")->storage_class, "standard");
    EXPECT_EQ(parse_place("aws:us-east-1")->storage_class, "");
    EXPECT_EQ(parse_place("gcp:us-central1/nearline")->text(), "gcp:us-central1/nearline");
    for (const char* text : {"", "aws", "aws:", ":x", "aws/standard", "aws:x/", "a/b:c"}) EXPECT_FALSE(parse_place(text)) << text;
}

}  // namespace
}  // namespace hyper::scheduler
