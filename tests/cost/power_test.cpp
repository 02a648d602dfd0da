// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost/power.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "scheduler/cost/import/power_feeds.h"

namespace hyper::scheduler {
namespace {

constexpr const char* header = "tariff,zone,window,start,end,price,currency,effective,source\n";

Result<PowerTariff> read(const std::string& rows) {
    CsvTable table = TRY(CsvTable::parse(header + rows, "power.csv"));
    auto tariffs = TRY(read_power_tariffs(table));
    if (tariffs.size() != 1) return fail(EINVAL, "{} tariffs", tariffs.size());
    return tariffs.begin()->second;
}

Instant at(const char* text) { return *parse_instant(text); }
std::string price(const PowerTariff& tariff, const char* when) {
    auto found = tariff.at(at(when));
    return found ? money_text(*found) : "none";
}

const std::string office =
    "office,Europe/Berlin,Mon..Fri 07:00-23:00,,,0.32,EUR,2026-01-01,contract\n"
    "office,Europe/Berlin,*,,,0.24,EUR,2026-01-01,contract\n";

TEST(PowerTariff, has_bands_on_the_clock_of_their_zone) {
    auto tariff = read(office);
    ASSERT_TRUE(tariff) << tariff.error().message;
    // 23 November 2026 is a Monday; Berlin is an hour ahead of UTC.
    EXPECT_EQ(price(*tariff, "2026-11-23T05:59:59Z"), "0.24");
    EXPECT_EQ(price(*tariff, "2026-11-23T06:00:00Z"), "0.32");
    EXPECT_EQ(price(*tariff, "2026-11-23T22:00:00Z"), "0.24");
    EXPECT_EQ(price(*tariff, "2026-11-22T12:00:00Z"), "0.24") << "a Sunday";
    EXPECT_EQ(price(*tariff, "2026-07-06T05:00:00Z"), "0.32") << "in summer two hours";
    EXPECT_EQ(price(*tariff, "2025-12-31T12:00:00Z"), "none") << "before it holds";
}

TEST(PowerTariff, takes_the_bands_of_the_newest_day) {
    auto tariff = read(office + "office,,*,,,0.5,EUR,2026-06-01,contract\n");
    ASSERT_TRUE(tariff);
    EXPECT_EQ(price(*tariff, "2026-05-31T12:00:00Z"), "0.24");
    EXPECT_EQ(price(*tariff, "2026-06-01T12:00:00Z"), "0.5");
}

TEST(PowerTariff, takes_steps_before_bands) {
    auto tariff = read(office + "office,,,2026-11-23T10:00Z,2026-11-23T11:00Z,-0.031,EUR,,spot\n");
    ASSERT_TRUE(tariff) << tariff.error().message;
    EXPECT_EQ(price(*tariff, "2026-11-23T09:59:59Z"), "0.32");
    EXPECT_EQ(price(*tariff, "2026-11-23T10:00:00Z"), "-0.031");
    EXPECT_EQ(price(*tariff, "2026-11-23T11:00:00Z"), "0.32");
}

TEST(PowerTariff, charges_energy_by_what_each_hour_costs) {
    auto tariff = read(office + "office,,,2026-11-23T10:00Z,2026-11-23T11:00Z,-0.031,EUR,,spot\n");
    ASSERT_TRUE(tariff);
    // 3 kWh over three hours, one of them paid for being used: 0.32 - 0.031 + 0.32
    EXPECT_EQ(money_text(*tariff->cost(3000, at("2026-11-23T09:00Z"), at("2026-11-23T12:00Z"))), "0.609");
    // Over the end of the day band, at 22:00 UTC: half and half of 1 kWh
    EXPECT_EQ(money_text(*tariff->cost(1000, at("2026-11-23T21:30Z"), at("2026-11-23T22:30Z"))), "0.28");
    EXPECT_EQ(money_text(*tariff->cost(0, at("2026-11-23T21:30Z"), at("2026-11-23T22:30Z"))), "0");
    EXPECT_EQ(tariff->cost(1, at("2025-12-31T23:00Z"), at("2026-11-23T22:30Z")).error().message, "power tariff office: no price at 2025-12-31T23:00:00Z");
    EXPECT_FALSE(tariff->cost(1, at("2026-11-23"), at("2026-11-23")));
}

TEST(PowerTariff, gives_the_planner_a_series_with_gaps) {
    auto tariff = read("spot,,,2026-11-23T00:00Z,2026-11-23T00:30Z,0.1,EUR,,x\nspot,,,2026-11-23T00:30Z,2026-11-23T01:00Z,-0.3,EUR,,x\n"
                       "spot,,,2026-11-23T02:00Z,2026-11-23T03:00Z,0.2,EUR,,x\n");
    ASSERT_TRUE(tariff) << tariff.error().message;
    carbon::StepSeries hours = tariff->series(at("2026-11-23"), at("2026-11-23T04:00Z"), Seconds(3600));
    ASSERT_EQ(hours.size(), 4u);
    EXPECT_NEAR(hours.values()[0], -0.1, 1e-12) << "the mean of its halves";
    EXPECT_TRUE(std::isnan(hours.values()[1]));
    EXPECT_NEAR(hours.values()[2], 0.2, 1e-12);
    EXPECT_TRUE(std::isnan(hours.values()[3]));
    EXPECT_NEAR(*tariff->series(at("2026-11-23"), at("2026-11-23T01:00Z")).at(at("2026-11-23T00:45Z")), -0.3, 1e-12) << "quarters by default";
}

TEST(PowerTariff, refuses_rows_that_contradict) {
    EXPECT_FALSE(read("a,,*,,,0.1,EUR,,x\na,,*,,,0.1,USD,,x\n")) << "two currencies";
    EXPECT_FALSE(read("a,,*,2026-01-01,2026-01-02,0.1,EUR,,x\n")) << "both";
    EXPECT_FALSE(read("a,,,,,0.1,EUR,,x\n")) << "neither";
    EXPECT_FALSE(read("a,,,2026-01-01,,0.1,EUR,,x\n")) << "no end";
    EXPECT_FALSE(read("a,,,2026-01-02,2026-01-01,0.1,EUR,,x\n"));
    EXPECT_FALSE(read("a,,,2026-01-01,2026-01-03,0.1,EUR,,x\na,,,2026-01-02,2026-01-04,0.1,EUR,,x\n")) << "overlap";
    EXPECT_FALSE(read("a,Mars/Olympus,*,,,0.1,EUR,,x\n"));
    EXPECT_FALSE(read("a,,Mon..Fri 25:00-26:00,,,0.1,EUR,,x\n"));
    EXPECT_FALSE(read("a,,*,,,cheap,EUR,,x\n"));
}

Result<PowerFeed> from_file(const char* name, Result<PowerFeed> (*read_feed)(std::istream&, std::string_view)) {
    std::ifstream in(std::string(std::getenv("HYPER_PRICE_FEEDS")) + "/" + name);
    return read_feed(in, name);
}
Result<PowerFeed> from_text(const char* text, Result<PowerFeed> (*read_feed)(std::istream&, std::string_view)) {
    std::istringstream in(text);
    return read_feed(in, "feed.json");
}

TEST(PowerFeed, of_octopus_is_pence_with_tax_in_order_of_time) {
    auto feed = from_file("octopus.json", read_octopus);
    ASSERT_TRUE(feed) << feed.error().message;
    ASSERT_EQ(feed->steps.size(), 3u) << "one of two ways to pay";
    EXPECT_EQ(feed->currency, "GBP");
    EXPECT_EQ(feed->steps[0].from, at("2026-11-23T16:30Z"));
    EXPECT_EQ(money_text(feed->steps[0].price), "-0.030975");
    EXPECT_EQ(money_text(feed->steps[1].price), "0.320775");
    EXPECT_EQ(money_text(feed->steps[2].price), "0.21");
}

TEST(PowerFeed, of_energy_charts_is_per_megawatt_hour_with_gaps) {
    auto feed = from_file("energy-charts.json", read_energy_charts);
    ASSERT_TRUE(feed) << feed.error().message;
    ASSERT_EQ(feed->steps.size(), 3u);
    EXPECT_EQ(feed->gaps, 1u);
    EXPECT_EQ(feed->steps[0].from, at("2026-11-23"));
    EXPECT_EQ(money_text(feed->steps[0].price), "0.0855");
    EXPECT_EQ(money_text(feed->steps[1].price), "-0.01234");
    EXPECT_EQ(feed->steps[1].until, at("2026-11-23T02:00Z"));
    EXPECT_EQ(feed->steps[2].until, at("2026-11-23T04:00Z")) << "as long as the step before";
}

TEST(PowerFeed, becomes_a_tariff) {
    auto feed = from_file("octopus.json", read_octopus);
    ASSERT_TRUE(feed);
    auto table = CsvTable::parse(power_csv_header() + power_csv_rows(*feed, "agile, home"), "power.csv");
    ASSERT_TRUE(table) << table.error().message;
    auto tariffs = read_power_tariffs(*table);
    ASSERT_TRUE(tariffs) << tariffs.error().message;
    const PowerTariff& agile = tariffs->at("agile, home");
    EXPECT_EQ(price(agile, "2026-11-23T16:45:00Z"), "-0.030975");
    EXPECT_EQ(agile.currency(), "GBP");
}

TEST(PowerFeed, is_refused_where_it_is_of_another_kind) {
    for (const char* text : {"{}", "[]", "{\"results\": 1}", R"({"results": [{"valid_from": "x"}]})",
                             R"({"results": [{"valid_from": "2026-01-01", "valid_to": null, "value_inc_vat": 1}]})"})
        EXPECT_FALSE(from_text(text, read_octopus)) << text;
    for (const char* text : {"{}", R"({"unix_seconds": [0, 3600], "price": [1], "unit": "EUR/MWh"})", R"({"unix_seconds": [0, 3600], "price": [1, 2], "unit": "GBP / MWh"})",
                             R"({"unix_seconds": [3600, 0], "price": [1, 2], "unit": "EUR/MWh"})", R"({"unix_seconds": [0, "x"], "price": [1, 2], "unit": "EUR/MWh"})",
                             R"({"unix_seconds": [0], "price": [1], "unit": "EUR/MWh"})", R"({"unix_seconds": [0, 9e99], "price": [1, 2], "unit": "EUR/MWh"})"})
        EXPECT_FALSE(from_text(text, read_energy_charts)) << text;
}

}  // namespace
}  // namespace hyper::scheduler
