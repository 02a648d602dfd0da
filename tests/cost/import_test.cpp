// SPDX-License-Identifier: Apache-2.0
// The feeds in seeds/ have the vendors' shapes; their prices are made for the tests.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>

#include "scheduler/cost/import/aws.h"
#include "scheduler/cost/import/azure.h"
#include "scheduler/cost/import/gcp.h"
#include "scheduler/cost/import/oci.h"
#include "scheduler/cost/keys.h"
#include "scheduler/cost/meter.h"

namespace hyper::scheduler {
namespace {

using Import = std::function<Result<void>(std::istream&, PriceCollector&)>;

struct Read {
    ImportedPrices imported;
    Prices prices;
};

std::string feed(const std::string& name) {
    std::ifstream in(std::string(std::getenv("HYPER_PRICE_FEEDS")) + "/" + name);
    return {std::istreambuf_iterator<char>(in), {}};
}

Result<Read> import_texts(const std::vector<std::string>& texts, const Import& import_feed) {
    PriceCollector collector;
    for (const std::string& text : texts) {
        std::istringstream in(text);
        TRY(import_feed(in, collector));
    }
    ImportedPrices imported = TRY(std::move(collector).finish());
    CsvTable table = TRY(CsvTable::parse(price_csv(imported), "prices.csv"));
    Prices prices = TRY(Prices::read(table));
    return Read{std::move(imported), std::move(prices)};
}

const Import aws = [](std::istream& in, PriceCollector& into) { return import_aws(in, "aws.json", into); };
const Import azure = [](std::istream& in, PriceCollector& into) { return import_azure(in, "azure.json", into); };
const Import gcp = [](std::istream& in, PriceCollector& into) { return import_gcp(in, "gcp.json", into); };
const Import oci = [](std::istream& in, PriceCollector& into) { return import_oci(in, "oci.json", "", into); };

const Instant when = *parse_instant("2026-11-23");

// The price of so many base units, all tiers from the first.
std::string total(const Prices& prices, const PriceKey& key, int64_t quantity) {
    auto charge = Meter(prices).estimate("a", key, when, quantity);
    return charge ? money_text(charge->total) + " " + charge->currency : charge.error().message;
}

std::string refusals(const ImportedPrices& imported) {
    std::string text;
    for (const Refusal& one : imported.refused) text += one.name + ": " + one.why + "\n";
    return text;
}

constexpr int64_t GB = 1'000'000'000, GiB = int64_t{1} << 30, month = 730;
const Place singapore{"aws", "ap-southeast-1", ""}, virginia{"aws", "us-east-1", "standard"}, virginia_ia{"aws", "us-east-1", "ia"};

TEST(ImportAws, takes_snapshots_and_block_requests_of_a_region) {
    auto read = import_texts({feed("aws-ec2.json")}, aws);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(total(read->prices, snapshot_key(singapore, "standard"), 100 * GiB * month), "5 USD");
    EXPECT_EQ(total(read->prices, snapshot_key(singapore, "archive"), 100 * GiB * month), "1.25 USD");
    EXPECT_EQ(total(read->prices, block_api_key(singapore, "list"), 1000), "0.0006 USD");
    EXPECT_EQ(total(read->prices, block_api_key(singapore, "get"), 204800), "0.6144 USD");
    EXPECT_EQ((*read->prices.find(snapshot_key(singapore, "standard"), when))->effective, *parse_instant("2026-10-01"));
    EXPECT_EQ((*read->prices.find(snapshot_key(singapore, "standard"), when))->source, "AWS price list AmazonEC2 of 2026-11-01");
    EXPECT_EQ(hours_min_of(**read->prices.find(snapshot_key(singapore, "archive"), when)), 90 * 24);
    EXPECT_EQ(read->imported.other_count, 2u) << "an instance, and what is sold in a local zone";
}

TEST(ImportAws, refuses_an_unknown_unit_by_its_name_and_counts_it) {
    auto read = import_texts({feed("aws-ec2.json")}, aws);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->imported.refused_count, 1u);
    EXPECT_NE(refusals(read->imported).find("APS1-EBS:directAPI.snapshot.Put (PUTB): aws/ebs/direct/ap-southeast-1/put: unit \"Fortnights\" is not known"), std::string::npos)
        << refusals(read->imported);
    EXPECT_FALSE(read->prices.find(block_api_key(singapore, "put"), when));
}

TEST(ImportAws, takes_tiers_in_any_order_and_pairs_of_regions) {
    auto read = import_texts({feed("aws-transfer.json")}, aws);
    ASSERT_TRUE(read) << read.error().message;
    // 10240 * 0.12 + 40960 * 0.085 + 1000 * 0.082
    EXPECT_EQ(total(read->prices, egress_key(singapore), 52200 * GB), "4792.4 USD");
    EXPECT_EQ(total(read->prices, ingress_key(singapore), 100 * GB), "0 USD");
    EXPECT_EQ(money_text((*find_cross_region_price(read->prices, singapore, "us-east-1", when))->tiers[0].price), "0.09");
    EXPECT_FALSE(find_cross_region_price(read->prices, singapore, "us-west-2", when));
}

TEST(ImportAws, takes_classes_with_requests_and_retrieval) {
    auto read = import_texts({feed("aws-s3.json")}, aws);
    ASSERT_TRUE(read) << read.error().message;
    // 51200 * 0.023 + 48800 * 0.022
    EXPECT_EQ(total(read->prices, storage_key(virginia), 100000 * GiB * month), "2251.2 USD");
    EXPECT_EQ(total(read->prices, put_key(virginia), 1000), "0.005 USD") << "which two products say";
    EXPECT_EQ(total(read->prices, get_key(virginia), 10000), "0.004 USD");
    EXPECT_EQ(total(read->prices, retrieval_key(virginia_ia), 100 * GiB), "1 USD");
    EXPECT_EQ(hours_min_of(**read->prices.find(storage_key(virginia_ia), when)), 30 * 24);
    EXPECT_EQ(read->imported.other_count, 1u) << "logs have a usage type of the same name";
}

TEST(ImportAws, refuses_two_prices_for_one_thing) {
    auto read = import_texts({feed("aws-s3.json")}, aws);
    ASSERT_TRUE(read);
    EXPECT_NE(refusals(read->imported).find("aws/s3/storage/us-east-1/glacier-ir: two prices from 0 on: 0.004 and 0.005 USD"), std::string::npos)
        << refusals(read->imported);
    EXPECT_FALSE(read->prices.find(storage_key({"aws", "us-east-1", "glacier-ir"}), when));
}

TEST(ImportAws, holds_little_of_a_large_file) {
    // 200,000 products that nobody wants, about 60 MB, made while they are read.
    class Large : public std::streambuf {
        int_type underflow() override {
            if (done_) return traits_type::eof();
            if (next_ == 0) {
                text_ = R"({"offerCode": "AmazonEC2", "products": {"first": {"attributes": {"usagetype": "x"}})";
            } else if (next_ <= 200'000) {
                text_ = fmt::format(R"(,"SKU{}": {{"sku": "SKU{}", "attributes": {{"servicecode": "AmazonEC2", "usagetype": "BoxUsage:{}", "memory": "{}"}}}})", next_, next_,
                                    next_, std::string(200, 'm'));
            } else {
                text_ = R"(}, "terms": {"OnDemand": {}}})", done_ = true;
            }
            next_++;
            setg(text_.data(), text_.data(), text_.data() + text_.size());
            return traits_type::to_int_type(text_[0]);
        }
        std::string text_;
        int next_ = 0;
        bool done_ = false;
    };
    Large large;
    std::istream in(&large);
    PriceCollector collector;
    auto done = import_aws(in, "large.json", collector);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(std::move(collector).finish()->other_count, 200'001u);
}

TEST(ImportAzure, takes_blobs_bandwidth_and_snapshots) {
    auto read = import_texts({feed("azure.json")}, azure);
    ASSERT_TRUE(read) << read.error().message;
    Place cool{"azure", "eastus2", "cool"};
    // 10235 * 0.087 + 165 * 0.083: Azure's tiers are as its feed says them
    EXPECT_EQ(total(read->prices, egress_key(cool), 10500 * GB), "904.14 USD");
    EXPECT_EQ(money_text((*find_cross_region_price(read->prices, cool, "westeurope", when))->tiers[0].price), "0.02") << "2E-02";
    EXPECT_EQ(total(read->prices, storage_key(cool), 100 * GB * month), "1 USD");
    EXPECT_EQ(total(read->prices, put_key(cool), 25000), "0.25 USD");
    EXPECT_EQ(total(read->prices, get_key(cool), 25000), "0.025 USD");
    EXPECT_EQ(total(read->prices, snapshot_key(cool, "standard"), 100 * GB * month), "5 USD");
    EXPECT_EQ(hours_min_of(**read->prices.find(storage_key(cool), when)), 30 * 24);
    EXPECT_EQ((*read->prices.find(egress_key(cool), when))->effective, *parse_instant("2026-03-01")) << "the newest of its tiers";
}

TEST(ImportAzure, refuses_what_it_does_not_understand_and_passes_what_it_does_not_need) {
    auto read = import_texts({feed("azure.json")}, azure);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->imported.refused_count, 1u);
    EXPECT_NE(refusals(read->imported).find("General Block Blob v2, Hot Read Operations in eastus2: azure/blob/requests/eastus2/hot-get: unit \"1/Fortnight\""), std::string::npos)
        << refusals(read->imported);
    EXPECT_EQ(read->imported.other_count, 3u) << "a reservation, a disk, and a meter of another region";
}

TEST(ImportAzure, takes_a_list_that_is_spread_over_pages) {
    std::string item = R"({"currencyCode": "USD", "tierMinimumUnits": %, "retailPrice": &, "armRegionName": "eastus2", "effectiveStartDate": "2026-02-01T00:00:00Z", "meterId": "m",
        "meterName": "Standard Data Transfer Out", "productName": "Rtn Preference: MGN", "skuName": "Standard", "serviceName": "Bandwidth", "unitOfMeasure": "1 GB", "type": "Consumption"})";
    auto page = [&](const char* start, const char* price) {
        std::string text = item;
        text.replace(text.find('%'), 1, start).replace(text.find('&'), 1, price);
        return "{\"Items\": [" + text + "]}";
    };
    auto read = import_texts({page("100", "0.087"), page("0", "0")}, azure);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(total(read->prices, egress_key({"azure", "eastus2", ""}), 200 * GB), "8.7 USD");
    auto half = import_texts({page("100", "0.087")}, azure);
    ASSERT_TRUE(half);
    EXPECT_NE(refusals(half->imported).find("no price below 100 GB"), std::string::npos) << refusals(half->imported);
}

TEST(ImportGcp, takes_regional_classes_operations_downloads_and_snapshots) {
    auto read = import_texts({feed("gcp.json")}, gcp);
    ASSERT_TRUE(read) << read.error().message;
    Place iowa{"gcp", "us-central1", "standard"}, carolina{"gcp", "us-east1", "standard"}, nearline{"gcp", "us-central1", "nearline"};
    EXPECT_EQ(total(read->prices, storage_key(iowa), 105 * GiB * month), "2 USD") << "of which five are free";
    EXPECT_EQ(total(read->prices, storage_key(carolina), 105 * GiB * month), "2 USD");
    EXPECT_EQ(total(read->prices, storage_key(nearline), 1000 * GiB), "0.013699 USD") << "by the hour";
    EXPECT_EQ(total(read->prices, snapshot_key(iowa, "standard"), 100 * GiB * month), "5 USD");
    auto puts = find_price(read->prices, put_key(iowa), when);
    ASSERT_TRUE(puts) << "operations have no region";
    EXPECT_EQ(total(read->prices, (*puts)->key, 15000), "0.05 USD");
    auto egress = find_price(read->prices, egress_key(iowa), when);
    ASSERT_TRUE(egress);
    EXPECT_EQ(total(read->prices, (*egress)->key, 2048 * GiB), "235.52 USD");
    EXPECT_FALSE(read->prices.find(storage_key({"gcp", "europe-west1", "standard"}), when)) << "two regions together are another product";
}

TEST(ImportGcp, refuses_unknown_units_and_money_that_is_none) {
    auto read = import_texts({feed("gcp.json")}, gcp);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->imported.refused_count, 2u);
    EXPECT_NE(refusals(read->imported).find("Nearline Data Retrieval (S-7): gcp/gcs/retrieval/any/nearline: unit \"furlong\""), std::string::npos) << refusals(read->imported);
    EXPECT_NE(refusals(read->imported).find("nanos \"4000000000\" are not within a unit"), std::string::npos) << refusals(read->imported);
    EXPECT_EQ(read->imported.other_count, 2u) << "an instance, and a bucket in two regions";
}

TEST(ImportOci, takes_what_is_the_same_everywhere_and_egress_by_part_of_the_world) {
    auto read = import_texts({feed("oci.json")}, oci);
    ASSERT_TRUE(read) << read.error().message;
    Place ashburn{"oci", "us-ashburn-1", "standard"}, mumbai{"oci", "ap-mumbai-1", "standard"};
    auto price_of = [&](const PriceKey& key, int64_t quantity) {
        auto list = find_price(read->prices, key, when);
        return list ? total(read->prices, (*list)->key, quantity) : list.error().message;
    };
    EXPECT_EQ(price_of(storage_key(ashburn), 110 * GB * month), "2.55 USD") << "of which ten are free";
    EXPECT_EQ(price_of(put_key(ashburn), 150000), "0.034 USD") << "after 50,000";
    EXPECT_EQ(*find_price(read->prices, put_key(ashburn), when), *find_price(read->prices, get_key(mumbai), when)) << "one allowance for all requests";
    EXPECT_EQ(price_of(egress_key(ashburn), 20480 * GB), "87.04 USD");
    EXPECT_NE(price_of(egress_key(mumbai), GB).find("no price of oci/net/egress/ap-mumbai-1/internet"), std::string::npos);
    EXPECT_EQ((*find_price(read->prices, storage_key(ashburn), when))->effective, *parse_instant("2026-10-05"));
    EXPECT_EQ(read->imported.refused_count, 1u);
    EXPECT_NE(refusals(read->imported).find("B93000"), std::string::npos) << "sold by another model than pay as you go: " << refusals(read->imported);
}

TEST(ImportOci, wants_a_day) {
    std::istringstream in(R"({"items": []})"), again(R"({"items": []})");
    PriceCollector collector;
    EXPECT_FALSE(import_oci(in, "oci.json", "", collector));
    EXPECT_TRUE(import_oci(again, "oci.json", "2026-10-01", collector));
}

TEST(Import, refuses_files_of_another_kind) {
    for (const Import& import_feed : {aws, azure, gcp, oci})
        for (const char* text : {"", "{}", "[]", "null", "{\"Items\": {}}", "{\"items\": 1}", "{\"skus\": \"\"}", "{\"terms\": {}}"})
            EXPECT_FALSE(import_texts({text}, import_feed)) << text;
}

TEST(Import, writes_fields_that_hostile_names_cannot_leave) {
    PriceCollector collector;
    collector.add({.name = "x", .key = {"aws", "s3", "storage", "us-east-1", "standard"}, .attributes = "a,\"b\"\n#c", .unit = "GB", .price = {5}, .currency = "USD",
                   .effective = "2026-01-01", .source = "s"});
    collector.add({.name = "y", .key = {"aws", "s3", "storage", "us east,1", "standard"}, .unit = "GB", .price = {5}, .currency = "USD", .effective = "2026-01-01"});
    auto imported = std::move(collector).finish();
    ASSERT_TRUE(imported);
    EXPECT_EQ(imported->refused_count, 1u) << "a region is a plain name";
    auto table = CsvTable::parse(price_csv(*imported), "prices.csv");
    ASSERT_TRUE(table) << table.error().message;
    auto prices = Prices::read(*table);
    ASSERT_TRUE(prices);
    ASSERT_EQ(prices->lists().size(), 1u);
    EXPECT_EQ(prices->lists()[0].attributes, "a,\"b\"\n#c");
}

TEST(Decimal, takes_exponents_exactly) {
    EXPECT_EQ(money_text(*parse_decimal("2E-06")), "0.000002");
    EXPECT_EQ(money_text(*parse_decimal("1.5e3")), "1500");
    EXPECT_EQ(money_text(*parse_decimal("-2.5e-1")), "-0.25");
    EXPECT_EQ(money_text(*parse_decimal("1e+2")), "100");
    EXPECT_EQ(money_text(*parse_decimal("0.087")), "0.087");
    for (const char* text : {"e5", "1e", "1e5e5", "1e99", "1e-10", "", "1e-", "--1e1"}) EXPECT_FALSE(parse_decimal(text)) << text;
}

}  // namespace
}  // namespace hyper::scheduler
