// SPDX-License-Identifier: Apache-2.0
// Invoices, computed by hand. The prices are made for the arithmetic, in the shapes that vendors publish; they are no statement of
// what anybody charges today.
#include <gtest/gtest.h>

#include "scheduler/cost/meter.h"

namespace hyper::scheduler {
namespace {

constexpr std::string_view price_file = R"(vendor,service,family,region,sku,attributes,purchase_option,unit,start,end,price,currency,effective,source
aws,ebs,snapshot,us-east-1,standard,,,GiB-month,0,,0.05,USD,2026-01-01,test
aws,ebs,direct,us-east-1,list,,,1k requests,0,,0.0006,USD,2026-01-01,test
aws,ebs,direct,us-east-1,get,block=512KiB,,1k requests,0,,0.003,USD,2026-01-01,test
aws,ebs,direct,us-east-1,put,block=512KiB,,1k requests,0,,0.006,USD,2026-01-01,test
aws,net,egress,us-east-1,internet,,,GB,0,100,0,USD,2026-01-01,test
aws,net,egress,us-east-1,internet,,,GB,100,10240,0.09,USD,2026-01-01,test
aws,net,egress,us-east-1,internet,,,GB,10240,51200,0.085,USD,2026-01-01,test
aws,net,egress,us-east-1,internet,,,GB,51200,153600,0.07,USD,2026-01-01,test
aws,net,egress,us-east-1,internet,,,GB,153600,,0.0500000000,USD,2026-01-01,test
aws,net,egress,us-east-1,region,,,GB,0,,0.02,USD,2026-01-01,test
aws,s3,storage,us-east-1,standard,,,GiB-month,0,,0.023,USD,2026-01-01,test
aws,s3,storage,us-east-1,ia,min=30d,,GiB-month,0,,0.0125,USD,2026-01-01,test
aws,s3,retrieval,us-east-1,ia,,,GB,0,,0.01,USD,2026-01-01,test
aws,s3,requests,us-east-1,put,,,1k requests,0,,0.005,USD,2026-01-01,test
aws,s3,requests,us-east-1,get,,,1k requests,0,,0.0004,USD,2026-01-01,test
azure,net,egress,eastus,internet,,,GB,0,100,0,USD,2026-01-01,test
azure,net,egress,eastus,internet,,,GB,100,10240,0.087,USD,2026-01-01,test
azure,net,egress,eastus,internet,,,GB,10240,51200,0.083,USD,2026-01-01,test
azure,net,egress,eastus,internet,,,GB,51200,,0.07,USD,2026-01-01,test
azure,blob,requests,eastus,write,,,10k requests,0,,0.055,USD,2026-01-01,test
gcp,net,egress,us-central1,internet,,,GiB,0,1024,0.12,USD,2026-01-01,test
gcp,net,egress,us-central1,internet,,,GiB,1024,10240,0.11,USD,2026-01-01,test
gcp,net,egress,us-central1,internet,,,GiB,10240,,0.08,USD,2026-01-01,test
gcp,gcs,storage,us-central1,nearline,,,GiB-month,0,,0.010,USD,2026-01-01,test
gcp,gcs,storage,us-central1,archive,min=365d,,GiB-month,0,,0.0012,USD,2026-01-01,test
oci,net,egress,eu,internet,,,GB,0,10240,0,USD,2026-01-01,test
oci,net,egress,eu,internet,,,GB,10240,,0.0085,USD,2026-01-01,test
onprem,power,tariff,de,night,,,kWh,0,,-0.0312,EUR,2026-01-01,test
onprem,power,tariff,de,spot,,,MWh,0,,-35.5,EUR,2026-01-01,test
)";

constexpr int64_t GB = 1'000'000'000, GiB = int64_t{1} << 30, month = 730;

const Prices& prices() {
    static const Prices read = *Prices::read(*CsvTable::parse(price_file, "prices.csv"));
    return read;
}

const PriceKey snapshot{"aws", "ebs", "snapshot", "us-east-1", "standard"}, list{"aws", "ebs", "direct", "us-east-1", "list"},
    get_block{"aws", "ebs", "direct", "us-east-1", "get"}, put_block{"aws", "ebs", "direct", "us-east-1", "put"},
    aws_out{"aws", "net", "egress", "us-east-1", "internet"}, aws_region{"aws", "net", "egress", "us-east-1", "region"},
    s3{"aws", "s3", "storage", "us-east-1", "standard"}, s3_ia{"aws", "s3", "storage", "us-east-1", "ia"}, s3_back{"aws", "s3", "retrieval", "us-east-1", "ia"},
    s3_put{"aws", "s3", "requests", "us-east-1", "put"}, s3_get{"aws", "s3", "requests", "us-east-1", "get"},
    azure_out{"azure", "net", "egress", "eastus", "internet"}, azure_write{"azure", "blob", "requests", "eastus", "write"},
    gcp_out{"gcp", "net", "egress", "us-central1", "internet"}, nearline{"gcp", "gcs", "storage", "us-central1", "nearline"},
    archive{"gcp", "gcs", "storage", "us-central1", "archive"}, oci_out{"oci", "net", "egress", "eu", "internet"},
    night{"onprem", "power", "tariff", "de", "night"}, spot{"onprem", "power", "tariff", "de", "spot"};

struct Invoice {
    const char* what;
    const PriceKey& key;
    int64_t before, quantity;  // in base units: what the month has seen, and what is charged
    const char* total;
};

const Invoice invoices[] = {
    {"100 GiB for a month", snapshot, 0, 100 * GiB * month, "5"},
    {"100 GiB for an hour: 5 / 730", snapshot, 0, 100 * GiB, "0.006849315"},
    {"1 TiB for a month: 1024 * 0.05", snapshot, 0, 1024 * GiB * month, "51.2"},
    {"nothing", snapshot, 0, 0, "0"},
    {"a list of 21 pages", list, 0, 21, "0.0000126"},
    {"100 GiB read: 204800 blocks of 512 KiB", get_block, 0, 204800, "0.6144"},
    {"100 GiB written", put_block, 0, 204800, "1.2288"},
    {"one block read", get_block, 0, 1, "0.000003"},
    {"1 GiB read: 2048 blocks", get_block, 0, 2048, "0.006144"},
    {"1 GiB written", put_block, 0, 2048, "0.012288"},
    {"within the free GB", aws_out, 0, 50 * GB, "0"},
    {"all of the free GB", aws_out, 0, 100 * GB, "0"},
    {"one more", aws_out, 0, 101 * GB, "0.09"},
    {"100 GB at 0.09", aws_out, 0, 200 * GB, "9"},
    {"10140 * 0.09", aws_out, 0, 10240 * GB, "912.6"},
    {"and one at 0.085", aws_out, 0, 10241 * GB, "912.685"},
    {"912.6 + 40960 * 0.085", aws_out, 0, 51200 * GB, "4394.2"},
    {"4394.2 + 102400 * 0.07", aws_out, 0, 153600 * GB, "11562.2"},
    {"11562.2 + 46400 * 0.05", aws_out, 0, 200000 * GB, "13882.2"},
    {"10 GB of 20 are free", aws_out, 90 * GB, 20 * GB, "0.9"},
    {"half a GB after the free ones", aws_out, 100 * GB, GB / 2, "0.045"},
    {"10 * 0.09 + 10 * 0.085", aws_out, 10230 * GB, 20 * GB, "1.75"},
    {"5 * 0.07 + 5 * 0.05", aws_out, 153595 * GB, 10 * GB, "0.6"},
    {"one byte: 0.09 nano-dollars, rounded", aws_out, 100 * GB, 1, "0"},
    {"400 * 0.087", azure_out, 0, 500 * GB, "34.8"},
    {"10140 * 0.087 + 1760 * 0.083", azure_out, 0, 12000 * GB, "1028.26"},
    {"100 * 0.12", gcp_out, 0, 100 * GiB, "12"},
    {"1024 * 0.12", gcp_out, 0, 1024 * GiB, "122.88"},
    {"122.88 + 1024 * 0.11", gcp_out, 0, 2048 * GiB, "235.52"},
    {"122.88 + 9216 * 0.11", gcp_out, 0, 10240 * GiB, "1136.64"},
    {"1136.64 + 0.08", gcp_out, 0, 10241 * GiB, "1136.72"},
    {"a GB where GiB are sold: 0.12 / 1.073741824", gcp_out, 0, GB, "0.111758709"},
    {"10 TB free", oci_out, 0, 10240 * GB, "0"},
    {"10240 * 0.0085", oci_out, 0, 20480 * GB, "87.04"},
    {"760 * 0.0085", oci_out, 10000 * GB, 1000 * GB, "6.46"},
    {"500 * 0.023", s3, 0, 500 * GiB * month, "11.5"},
    {"10 GiB for 10 days: 2400 / 730 * 0.023", s3, 0, 10 * GiB * 240, "0.075616438"},
    {"100 GiB deleted after 10 of 30 days: 48000 / 730 * 0.0125", s3_ia, 0, 100 * GiB * hours_still_billed(240, 720), "0.821917808"},
    {"100 GiB deleted after 31 days", s3_ia, 0, 100 * GiB * hours_still_billed(744, 720), "0"},
    {"250 * 0.01", s3_back, 0, 250 * GB, "2.5"},
    {"12.345 * 0.005", s3_put, 0, 12345, "0.061725"},
    {"one get", s3_get, 0, 1, "0.0000004"},
    {"999 gets", s3_get, 0, 999, "0.0003996"},
    {"2.5 * 0.055, sold by 10000", azure_write, 0, 25000, "0.1375"},
    {"2048 * 0.01", nearline, 0, 2048 * GiB * month, "20.48"},
    {"1 TiB deleted after 30 of 365 days: 1024 * 8040 / 730 * 0.0012", archive, 0, 1024 * GiB * hours_still_billed(720, 8760), "13.533632877"},
    {"1500 * 0.02", aws_region, 0, 1500 * GB, "30"},
    {"1.5 kWh that are paid for being used", night, 0, 1500, "-0.0468"},
    {"1 Wh", night, 0, 1, "-0.0000312"},
    {"2 kWh at the spot market: -35.5 / 500", spot, 0, 2000, "-0.071"},
};

TEST(Invoice, is_what_was_computed_by_hand) {
    static_assert(std::size(invoices) >= 40);
    Instant when = *parse_instant("2026-03-15T12:00Z");
    for (const Invoice& one : invoices) {
        Meter meter(prices());
        ASSERT_TRUE(meter.use("account", one.key, when, one.before));
        auto charge = meter.use("account", one.key, when, one.quantity);
        ASSERT_TRUE(charge) << one.what << ": " << charge.error().message;
        EXPECT_EQ(money_text(charge->total), one.total) << one.what;
        EXPECT_EQ(meter.used("account", one.key, when), one.before + one.quantity);
    }
}

TEST(Invoice, counts_tiers_by_account_and_month) {
    Meter meter(prices());
    Instant march = *parse_instant("2026-03-31T23:59:59Z"), april = *parse_instant("2026-04-01");
    EXPECT_EQ(money_text(meter.use("a", aws_out, march, 200 * GB)->total), "9");
    EXPECT_EQ(money_text(meter.use("a", aws_out, march, 100 * GB)->total), "9");
    EXPECT_EQ(money_text(meter.use("b", aws_out, march, 100 * GB)->total), "0") << "another account";
    EXPECT_EQ(money_text(meter.use("a", aws_out, april, 100 * GB)->total), "0") << "another month";
    EXPECT_EQ(money_text(meter.use("a", aws_region, march, 100 * GB)->total), "2") << "another thing";
}

TEST(Invoice, shows_each_tier_and_estimates_without_counting) {
    Meter meter(prices());
    Instant when = *parse_instant("2026-03-15");
    auto charge = meter.estimate("a", aws_out, when, 10250 * GB);
    ASSERT_TRUE(charge);
    ASSERT_EQ(charge->lines.size(), 3u);
    EXPECT_EQ(money_text(charge->lines[1].amount), "912.6");
    EXPECT_EQ(charge->lines[2].quantity, 10 * GB);
    EXPECT_EQ(charge->currency, "USD");
    EXPECT_EQ(meter.used("a", aws_out, when), 0);
}

TEST(Invoice, is_not_made_without_a_price) {
    Meter meter(prices());
    EXPECT_EQ(meter.use("a", aws_out, *parse_instant("2025-12-31"), GB).error().code, ENOENT);
    EXPECT_EQ(meter.use("a", {"aws", "net", "egress", "moon", "internet"}, *parse_instant("2026-12-31"), GB).error().code, ENOENT);
    EXPECT_FALSE(meter.use("a", aws_out, *parse_instant("2026-12-31"), -1));
}

}  // namespace
}  // namespace hyper::scheduler
