// SPDX-License-Identifier: Apache-2.0
#include "scheduler/jobs/config.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace hyper::scheduler {
namespace {

constexpr const char* one_job = "[jobs.db]\nsource = \"a\"\nvolume = \"b\"\n";

Config good(const std::string& toml) {
    auto config = parse_config(toml, "hyper.toml");
    EXPECT_TRUE(config) << config.error().message;
    return config ? std::move(*config) : Config();
}

std::string error_of(const std::string& toml) {
    auto config = parse_config(toml, "hyper.toml");
    EXPECT_FALSE(config) << toml;
    return config ? "" : config.error().message;
}

TEST(Config, names_file_line_and_nearest_key_of_what_it_does_not_know) {
    EXPECT_EQ(error_of("[job.db]\n"), "hyper.toml:1: unknown key job; did you mean jobs?");
    EXPECT_EQ(error_of(std::string(one_job) + "retyr = {max = 1}\n"), "hyper.toml:4: unknown key jobs.db.retyr; did you mean retry?");
    EXPECT_EQ(error_of(std::string(one_job) + "retry = {maximum = 1}\n"), "hyper.toml:4: unknown key jobs.db.retry.maximum; did you mean max?");
    EXPECT_EQ(error_of("[limits]\nrun = 1\n"), "hyper.toml:2: unknown key limits.run; did you mean runs?");
}

TEST(Config, knows_zones_by_todays_ids) {
    const std::string feed = "[feeds.a]\nkind = \"energy-charts\"\n";
    Config config = good(feed + "zones = [\"aws:eu-central-1\", \"FR\"]\n[zones.US-MISO]\nfeeds = [\"a\"]\n");
    EXPECT_EQ(config.feeds.at("a").zones, (std::vector<std::string>{"DE", "FR"}));
    EXPECT_EQ(config.zones.at("US-MIDW-MISO").feeds, std::vector<std::string>{"a"});
    EXPECT_EQ(error_of(feed + "zones = [\"nowhere\"]\n").substr(0, 28), "hyper.toml:1: feeds.a.zones:");
    EXPECT_EQ(error_of("[zones.nowhere]\n").substr(0, 28), "hyper.toml:1: zones.nowhere:");
    EXPECT_EQ(error_of("[zones.US-MIDW-MISO]\n[zones.US-MISO]\n"), "hyper.toml:2: zones.US-MISO: zone US-MIDW-MISO is there twice");
    EXPECT_EQ(error_of(feed + "[zones.DE]\nfeeds = [\"b\"]\n"), "hyper.toml:3: zones.DE.feeds: there is no feed \"b\" ([feeds.b])");
}

TEST(Config, says_what_would_be_right) {
    EXPECT_EQ(error_of(std::string(one_job) + "rpo = \"a day\"\n"), "hyper.toml:4: jobs.db.rpo: \"a day\" is no length of time (try 90s, 15m, 18h, 2d or 1h30m)");
    EXPECT_EQ(error_of(std::string(one_job) + "rpo = 24\n"), "hyper.toml:4: jobs.db.rpo: is a text of 1 to 4096 bytes, in quotes and on one line");
    EXPECT_EQ(error_of(std::string(one_job) + "priority = 101\n"), "hyper.toml:4: jobs.db.priority: is a whole number from 0 to 100");
    EXPECT_EQ(error_of(std::string(one_job) + "overlap = \"skipp\"\n"), "hyper.toml:4: jobs.db.overlap: \"skipp\" is not known; did you mean skip?");
    EXPECT_EQ(error_of(std::string(one_job) + "every = \"61 * * * *\"\n").substr(0, 28), "hyper.toml:1: jobs.db.every:");
    EXPECT_EQ(error_of(std::string(one_job) + "timezone = \"Europe/Brelin\"\n").substr(0, 31), "hyper.toml:4: jobs.db.timezone:");
    EXPECT_EQ(error_of(std::string(one_job) + "windows = {allow = [\"25:00-26:00\"]}\n").substr(0, 35), "hyper.toml:4: jobs.db.windows.allow");
    EXPECT_EQ(error_of(std::string(one_job) + "carbon = {source_zone = \"nowhere\"}\n").substr(0, 41), "hyper.toml:4: jobs.db.carbon.source_zone:");
}

TEST(Config, wants_source_and_volume) {
    EXPECT_EQ(error_of("[jobs.db]\nsource = \"a\"\n"), "hyper.toml:1: jobs.db: needs volume");
}

TEST(Config, lays_a_jobs_keys_over_its_policys) {
    Config config = good("[policies.p]\nrpo = \"24h\"\npriority = 10\nretry = {max = 7, cap = \"1h\"}\n" + std::string(one_job) +
                         "policy = \"p\"\npriority = 20\nretry = {max = 1}\n");
    const Policy& rules = config.jobs.at("db").rules;
    EXPECT_EQ(rules.rpo, Seconds(86400));
    EXPECT_EQ(rules.priority, 20);
    EXPECT_EQ(rules.retry.max, 1u);
    EXPECT_EQ(rules.retry.cap, Seconds(3600)) << "of the policy, in the same table";
}

TEST(Config, knows_its_policies) {
    EXPECT_EQ(error_of("[policies.nightly]\n" + std::string(one_job) + "policy = \"nihgtly\"\n"),
              "hyper.toml:5: jobs.db.policy: there is no policy \"nihgtly\"; did you mean nightly?");
    EXPECT_NE(error_of("[policies.p]\nevery = \"never\"\n"), "") << "also one that no job has";
}

TEST(Config, reads_every_kind_of_schedule) {
    std::string berlin = std::string(one_job) + "timezone = \"Europe/Berlin\"\n";
    Instant summer = *parse_instant("2026-07-01T00:00:00Z");
    EXPECT_EQ(instant_text(*good(berlin + "every = \"0 1 * * *\"\n").jobs.at("db").rules.every.calendar->next(summer)), "2026-07-01T23:00:00Z");
    EXPECT_EQ(instant_text(*good(berlin + "every = \"OnCalendar=*-*-* 01:00\"\n").jobs.at("db").rules.every.calendar->next(summer)), "2026-07-01T23:00:00Z");
    EXPECT_EQ(instant_text(*good(std::string(one_job) + "every = \"OnCalendar=*-*-* 01:00 Europe/Berlin\"\n").jobs.at("db").rules.every.calendar->next(summer)),
              "2026-07-01T23:00:00Z");
    EXPECT_EQ(good(std::string(one_job) + "every = {between = \"18h..24h\"}\n").jobs.at("db").rules.every.elastic->min, Seconds(18 * 3600));
    EXPECT_EQ(error_of(std::string(one_job) + "every = {betwen = \"18h..24h\"}\n"),
              "hyper.toml:4: jobs.db.every: is \"OnCalendar=...\", a cron expression, or {between = \"18h..24h\"}");
}

TEST(Config, refuses_circles_and_unknown_jobs_to_come_after) {
    std::string a = "[jobs.a]\nsource = \"s\"\nvolume = \"v\"\nafter = [{job = \"b\"}]\n", b = "[jobs.b]\nsource = \"s\"\nvolume = \"w\"\nafter = [{job = \"a\"}]\n";
    EXPECT_EQ(error_of(a + b), "hyper.toml:1: jobs.a.after: jobs come after one another in a circle: a after b after a");
    EXPECT_EQ(error_of(a), "hyper.toml:1: jobs.a.after: there is no job \"b\" to come after; did you mean a?");
}

// In no more time than there are jobs, and without a call for each.
TEST(Config, takes_a_long_chain_of_jobs_and_finds_its_circle) {
    std::string chain;
    constexpr int jobs = 20'000;
    for (int i = 1; i < jobs; i++) chain += fmt::format("jobs.j{}={{source=\"s\",volume=\"v\",after=[{{job=\"j{}\"}}]}}\n", i, i + 1);
    std::string last = fmt::format("[jobs.j{}]\nsource = \"s\"\nvolume = \"v\"\n", jobs);
    EXPECT_TRUE(parse_config(chain + last, "chain.toml"));
    std::string error = error_of(chain + last + "after = [{job = \"j19999\"}]\n");
    EXPECT_NE(error.find("jobs come after one another in a circle: j19999 after j20000 after j19999"), error.npos) << error.substr(0, 300);
}

TEST(Config, takes_the_twelve_first_zones_and_says_which_are_called_otherwise) {
    for (const char* zone : {"US-CAL-CISO", "US-NW-PACW", "US-MISO", "DE", "GB", "SE", "SG", "JP-TK", "AUS-NSW", "IN-NO", "CN-BJ", "CN-SH"})
        good(std::string(one_job) + "rpo = \"1d\"\ncarbon = {source_zone = \"" + zone + "\"}\n");
    Config config = good(std::string(one_job) + "rpo = \"1d\"\ncarbon = {source_zone = \"AUS-NSW\", target_zone = \"aws:eu-central-1\"}\n");
    const CarbonRule& carbon = config.jobs.at("db").rules.carbon;
    EXPECT_EQ(carbon.source_grid, "AU-NSW");
    EXPECT_EQ(carbon.target_grid, "DE");
    EXPECT_EQ(carbon.target_place, "aws");
    ASSERT_EQ(config.warnings.size(), 1u);
    EXPECT_EQ(config.warnings[0], "hyper.toml:1: jobs.db.carbon: zone AUS-NSW is called AU-NSW today, and is taken as that");
}

TEST(Config, warns_of_an_objective_that_its_calendar_cannot_keep) {
    Config config = good(std::string(one_job) + "rpo = \"24h\"\nevery = \"0 1 * * *\"\n");
    ASSERT_EQ(config.warnings.size(), 1u);
    EXPECT_NE(config.warnings[0].find("drawn forward or added"), std::string::npos);
    EXPECT_TRUE(good(std::string(one_job) + "rpo = \"26h\"\nevery = \"0 1 * * *\"\n").warnings.empty());
    EXPECT_NE(error_of(std::string(one_job) + "rpo = \"12h\"\nevery = {between = \"18h..24h\"}\n").find("rpo 12h is not longer"), std::string::npos);
}

TEST(Config, reads_a_job_of_json_as_one_of_toml) {
    Config config = good("[policies.p]\nrpo = \"24h\"\n");
    auto job = parse_job_json(R"({"source": "a", "volume": "b", "policy": "p", "every": {"between": "4h..8h"}})", "db", config);
    ASSERT_TRUE(job) << job.error().message;
    EXPECT_EQ(job->rules.rpo, Seconds(86400));
    EXPECT_EQ(parse_job_json(R"({"source": "a", "volume": "b", "rpoo": "1h"})", "db", config).error().message, "job db: unknown key rpoo; did you mean rpo?");
    EXPECT_EQ(parse_job_json(R"({"source": "a"})", "db", config).error().message, "job db: needs volume");
    EXPECT_FALSE(parse_job_json(R"({"source": "a", "volume": "b"})", "../db", config));
    EXPECT_TRUE(add_job(config, *job));
    EXPECT_EQ(add_job(config, *job).error().code, EEXIST);
}

TEST(Config, wants_tokens_for_tcp) {
    EXPECT_EQ(error_of("[api]\nlisten = \"127.0.0.1:1\"\n"), "hyper.toml:1: api.listen: TCP needs api.token_file");
}

TEST(Config, bandwidth_goes_by_the_first_rule_whose_window_is_open) {
    Config config = good("[limits]\ntimezone = \"Europe/Berlin\"\nbandwidth = [{window = \"08:00-18:00\", rate = \"10MiB/s\"}, {rate = \"1GB/s\"}]\n");
    EXPECT_EQ(bandwidth_at(config.limits.bandwidth, config.limits.timezone, *parse_instant("2026-07-01T07:00:00Z")), 10u << 20);
    EXPECT_EQ(bandwidth_at(config.limits.bandwidth, config.limits.timezone, *parse_instant("2026-07-01T17:00:00Z")), 1'000'000'000u);
    EXPECT_EQ(bandwidth_at({}, "UTC", {}), 0u);
}

}  // namespace
}  // namespace hyper::scheduler
