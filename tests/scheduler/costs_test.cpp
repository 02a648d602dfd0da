// SPDX-License-Identifier: Apache-2.0
// Money is computed by hand from the built-in prices: AWS's block API 0.0006 USD a 1000 pages and 0.003 a 1000 blocks of 512 KiB; what leaves us-east-1 costs
// nothing for 100 GB a month and 0.09 a GB then, and 0.02 a GB to another region.
#include "scheduler/costs.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "tests/scheduler/world.h"

namespace hyper::scheduler {
namespace {

constexpr uint64_t ten_gib = uint64_t{10} << 30, gb = 1'000'000'000;
const Instant when = at("2026-11-23T12:00:00Z");

class CostsTest : public testing::Test {
  protected:
    CostsTest() {
        std::string name = testing::TempDir() + "costs-XXXXXX";
        folder_ = mkdtemp(name.data());
    }
    ~CostsTest() override { std::filesystem::remove_all(folder_); }

    std::string file(const std::string& name, const std::string& text) const {
        std::ofstream(folder_ + "/" + name) << text;
        return folder_ + "/" + name;
    }
    std::string power_file(const std::string& rows) const { return file("power.csv", "tariff,zone,window,start,end,price,currency,effective,source\n" + rows); }
    std::string price_file(const std::string& rows) const {
        return file("prices.csv", "vendor,service,family,region,sku,attributes,purchase_option,unit,start,end,price,currency,effective,source\n" + rows);
    }
    static Config config(const std::string& toml) {
        auto read = parse_config(toml, "test.toml");
        EXPECT_TRUE(read) << (read ? "" : read.error().message);
        return std::move(*read);
    }
    static std::string job(const std::string& name, const std::string& keys, const std::string& source = "/a/db") {
        return "[jobs." + name + "]\nsource = \"" + source + "\"\nvolume = \"/v/" + name + "\"\n" + keys + "\n";
    }
    static std::string money(const Result<Money>& made) { return made ? money_text(*made) : made.error().message; }
    static std::string sync_of(const Config& config, uint64_t bytes = ten_gib, const MonthUse& used = {}) {
        return money(Costs::load(config)->of_sync(config.jobs.at("db"), config, bytes, used, when));
    }

    std::string folder_;
};

TEST_F(CostsTest, a_sync_is_charged_for_requests_and_for_what_leaves_the_cloud_after_what_the_month_has_seen) {
    Config db = config(job("db", "cost = {currency = \"USD\", from = \"aws:us-east-1\"}"));
    // 20480 blocks, 3 pages; 10.73741824 GB are within the free 100.
    EXPECT_EQ(sync_of(db), "0.0614418");
    MonthUse used;
    used.sent_bytes["db"] = 100 * gb;
    EXPECT_EQ(sync_of(db, ten_gib, used), "1.027809442") << "0.0614418 + 10.73741824 * 0.09";
    used.sent_bytes["db"] = 95 * gb;
    EXPECT_EQ(sync_of(db, ten_gib, used), "0.577809442") << "5 GB of it are free";
}

TEST_F(CostsTest, jobs_that_leave_the_same_place_share_its_tiers) {
    const std::string from = "cost = {currency = \"USD\", from = \"aws:us-east-1\"}\n";
    Config both = config(job("db", from) + job("web", from) + job("far", "carbon = {source_zone = \"aws:us-east-1\", target_zone = \"aws:us-east-2\"}") +
                         job("europe", "carbon = {source_zone = \"aws:eu-central-1\"}"));
    MonthUse used;
    used.sent_bytes["web"] = 100 * gb;
    EXPECT_EQ(sync_of(both, ten_gib, used), "1.027809442");
    used.sent_bytes = {{"far", 100 * gb}, {"europe", 100 * gb}};
    EXPECT_EQ(sync_of(both, ten_gib, used), "0.0614418") << "what goes to another region, or leaves another one, has another price";
}

TEST_F(CostsTest, of_a_computer_s_disk_only_the_way_has_a_price) {
    auto of = [&](const std::string& zones) { return sync_of(config(job("db", "cost = {currency = \"USD\"}\ncarbon = {" + zones + "}"))); };
    EXPECT_EQ(of("source_zone = \"aws:us-east-1\", target_zone = \"aws:us-east-1\""), "0");
    EXPECT_EQ(of("source_zone = \"aws:us-east-1\", target_zone = \"aws:eu-central-1\""), "0.214748365") << "10.73741824 * 0.02";
    EXPECT_EQ(of("target_zone = \"aws:us-east-1\""), "0") << "what comes in costs nothing";
}

TEST_F(CostsTest, what_has_no_price_is_not_guessed) {
    EXPECT_EQ(sync_of(config(job("db", ""))), "neither cost.from nor a zone of carbon says in which cloud an end of it is");
    EXPECT_EQ(sync_of(config(job("db", "cost = {currency = \"USD\", from = \"aws:mars\"}"))), "no price of aws/ebs/direct/mars/list on 2026-11-23 (import a price file)");
    EXPECT_EQ(sync_of(config(job("db", "carbon = {source_zone = \"aws:us-east-1\"}", "s3://bucket/db.raw"))),
              "reading objects takes requests; which class they are of is said by cost.from = \"aws:us-east-1/CLASS\"");
    EXPECT_EQ(sync_of(config(job("db", "cost = {from = \"aws:us-east-1\"}"))),
              "its prices are in USD and its money is in EUR; cost.currency = \"USD\" would count them");
}

TEST_F(CostsTest, a_job_says_why_its_money_is_not_known) {
    SmallWorld world(job("db", "cost = {from = \"aws:us-east-1\"}\nrpo = \"24h\"") + job("own", "rpo = \"24h\"") +
                         job("new", "cost = {currency = \"USD\", from = \"aws:us-east-1\"}\nrpo = \"24h\"", "/a/new") +
                         job("paid", "cost = {currency = \"USD\", from = \"aws:us-east-1\"}\nrpo = \"24h\"") +
                         job("first", "cost = {currency = \"USD\", from = \"aws:us-east-1\"}\nrpo = \"24h\"") +
                         job("counted", "limits = {api_calls = {per_month = 5}}\nrpo = \"24h\""),
                     0);
    world.measures.erase("/a/new");
    world.states["db"].last_point = world.states["paid"].last_point = when - hours(24);
    auto expected = Costs::load(world.config)->expected(world.config, world.states, world.measures, {}, when);
    EXPECT_EQ(expected.unknown["db"], "what a sync costs besides power is not known: its prices are in USD and its money is in EUR; cost.currency = \"USD\" would count them");
    EXPECT_EQ(expected.unknown["new"], "what a sync costs besides power is not known: no sync of its disk was measured yet");
    EXPECT_EQ(expected.unknown["first"], expected.unknown["new"]) << "only later syncs of that disk were measured";
    EXPECT_EQ(expected.unknown["counted"], "requests are not counted: cost.from does not say how the disk is read");
    EXPECT_FALSE(expected.unknown.contains("own")) << "nothing of it is in a cloud, and money does not count for it";
    EXPECT_FALSE(expected.unknown.contains("paid"));
    EXPECT_EQ(expected.money.size(), 1u);
    EXPECT_TRUE(expected.money.contains("paid"));
    auto decisions = world.decide_all(day0);
    say_unknown(decisions, expected);
    EXPECT_EQ(decisions[1].job, "db");
    EXPECT_EQ(decisions[1].notes.back(), expected.unknown["db"]);
}

TEST_F(CostsTest, what_a_sync_is_expected_to_cost_follows_its_measured_size) {
    SmallWorld world("cost = {currency = \"USD\", from = \"aws:us-east-1\"}\n");
    world.states["db"].last_point = when - hours(24);
    // 86.4 GB a day: 164795 blocks, 17 pages.
    auto expected = Costs::load(world.config)->expected(world.config, world.states, world.measures, {}, when);
    EXPECT_EQ(money_text(expected.money.at("db")), "0.4943952");
}

TEST_F(CostsTest, requests_are_counted_where_it_is_said_how_the_disk_is_read) {
    auto of = [&](const std::string& keys) { return requests_of_sync(config(job("db", keys)).jobs.at("db"), ten_gib); };
    EXPECT_EQ(of("cost = {from = \"aws:us-east-1\"}"), 20480u + 3);
    EXPECT_EQ(of("cost = {from = \"aws:us-east-1/standard\"}"), 1280u) << "parts of 8 MiB";
    EXPECT_EQ(of("carbon = {source_zone = \"aws:us-east-1\"}"), std::nullopt);
}

TEST_F(CostsTest, a_tariff_that_has_ended_hides_nothing_else) {
    std::string power = power_file("home,,,2026-11-22T00:00:00Z,2026-11-23T18:00:00Z,0.3,EUR,,\n");
    Costs costs = *Costs::load(config(job("db", "carbon = {source_zone = \"DE\", target_zone = \"DE\"}") + "[zones.DE]\ntariff_file = \"" + power + "\"\n"));
    std::map<std::string, ZoneOutlook> zones;
    costs.add_power(zones, when);
    EXPECT_EQ(zones["DE"].price_per_kwh.end(), at("2026-11-23T18:00:00Z"));
    EXPECT_TRUE(zones["DE"].notes.empty());
    zones.clear();
    costs.add_power(zones, when + hours(6));
    EXPECT_TRUE(zones["DE"].price_per_kwh.empty());
    ASSERT_EQ(zones["DE"].notes.size(), 1u);
    EXPECT_EQ(zones["DE"].notes[0], "zone DE: its tariff says nothing of now, so what power costs is not known");
}

TEST_F(CostsTest, power_has_its_price_by_the_time_at_which_it_is_drawn) {
    std::string power = power_file("home,UTC,07:00-23:00,,,0.30,EUR,2026-01-01,\nhome,UTC,*,,,0.10,EUR,2026-01-01,\n");
    Config one = config(job("db", "carbon = {source_zone = \"DE\", target_zone = \"SE\"}") + "[zones.DE]\ntariff_file = \"" + power + "\"\n");
    Costs costs = *Costs::load(one);
    carbon::SyncEnergy energy{{1, 1, 1}, {2, 2, 2}, {4, 4, 4}};
    auto of = [&](const char* from, const char* until) { return costs.of_power(one.jobs.at("db"), energy, at(from), at(until)); };
    // The source's kWh and half of the network's.
    EXPECT_EQ(of("2026-11-23T12:00:00Z", "2026-11-23T13:00:00Z"), Money{900'000'000});
    EXPECT_EQ(of("2026-11-23T22:30:00Z", "2026-11-23T23:30:00Z"), Money{600'000'000});
    one.jobs.at("db").rules.cost.currency = "GBP";
    EXPECT_EQ(of("2026-11-23T12:00:00Z", "2026-11-23T13:00:00Z"), std::nullopt);
    std::map<std::string, ZoneOutlook> zones;
    costs.add_power(zones, at("2026-11-23T12:05:00Z"));
    EXPECT_EQ(zones["DE"].price_per_kwh.at(at("2026-11-23T12:01:00Z")), 0.30);
    EXPECT_EQ(zones["DE"].price_per_kwh.at(at("2026-11-24T23:14:00Z")), 0.10);
    EXPECT_EQ(zones["DE"].price_currency, "EUR");
}

TEST_F(CostsTest, a_price_file_of_ones_own_goes_over_the_built_in_prices) {
    std::string prices = price_file("aws,ebs,direct,us-east-1,get,,,1k requests,0,,0.001,USD,2026-11-02,contract\n");
    EXPECT_EQ(sync_of(config("[prices]\nfiles = [\"" + prices + "\"]\n" + job("db", "cost = {currency = \"USD\", from = \"aws:us-east-1\"}"))), "0.0204818");
}

TEST_F(CostsTest, what_is_wrong_in_a_file_is_said_with_its_line_and_field) {
    auto wrong = [&](const std::string& toml) {
        auto made = Costs::load(config(toml));
        return made ? "it was taken" : made.error().message;
    };
    std::string prices = price_file("a,b,c,d,e,,,GB,0,,0.1,USD,2026-01-01,x\na,b,c,d,f,,,GB,0,,cheap,USD,2026-01-01,x\n");
    EXPECT_EQ(wrong("[prices]\nfiles = [\"" + prices + "\"]\n"),
              "[prices] files: price file " + prices + ": line 3: price: \"cheap\" is no amount (try 0.0125; nine decimal places at most)");
    std::string missing = folder_ + "/none.csv";
    EXPECT_EQ(wrong("[zones.DE]\ntariff_file = \"" + missing + "\"\n"),
              "[zones.DE] tariff_file " + missing + ": open table " + missing + ": no such file or directory");
    std::string power = power_file("a,,*,,,1.5.1,EUR,,\n");
    EXPECT_EQ(wrong("[zones.DE]\ntariff_file = \"" + power + "\"\n").substr(("[zones.DE] tariff_file " + power).size(), 24), ": line 2: price: \"1.5.1\"");
    power = power_file("a,,*,,,1,EUR,,\nb,,*,,,2,EUR,,\n");
    EXPECT_EQ(wrong("[zones.DE]\ntariff_file = \"" + power + "\"\n"),
              "[zones.DE] tariff_file " + power + ": has 2 tariffs; a zone has one, so leave only its rows in the file");
}

}  // namespace
}  // namespace hyper::scheduler
