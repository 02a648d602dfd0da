// SPDX-License-Identifier: Apache-2.0
// What hyperd knows of grids: the configuration's feeds and table, asked with a clock that the test has and services that it plays.
#include "scheduler/hyperd/outlooks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <fstream>

#include "scheduler/hyperd/settle.h"
#include "scheduler/run_weights.h"
#include "tests/carbon_feeds/scratch.h"

namespace hyper::hyperd {
namespace {

using namespace std::chrono;
using carbon::SignalKind;

constexpr Instant day = sys_days(2026y / March / 1);
constexpr Instant now = day + hours(10) + minutes(7);

// An answer of Energy-Charts for that day: the same value all day, measured in these hours.
std::string energy_charts(int value, int first = 0, int last = 10) {
    std::string times, past, future;
    for (int hour = 0; hour < 48; hour++) {
        const char* comma = hour > 0 ? "," : "";
        times += comma + std::to_string((day + hours(hour)).time_since_epoch().count());
        past += comma + (hour >= first && hour <= last ? std::to_string(value) : "null");
        future += comma + (hour < 10 ? "null" : std::to_string(value));
    }
    return "{\"unix_seconds\":[" + times + "],\"co2eq\":[" + past + "],\"co2eq_forecast\":[" + future + "]}";
}

std::string watttime(const char* value) {
    return std::string(R"({"data":[{"point_time":"2026-03-01T10:05:00+00:00","value":)") + value +
           R"(},{"point_time":"2026-03-01T10:10:00+00:00","value":)" + value +
           R"(}],"meta":{"region":"CAISO_NORTH","signal_type":"co2_moer","units":"lbs_co2_per_mwh","generated_at":"2026-03-01T10:05:00+00:00"}})";
}

// Services that answer by the beginning of a URL, and notes who was asked.
class OutlooksTest : public testing::Test {
  protected:
    OutlooksTest() {
        login = scratch.secret("login", "freddo:frog\n");
        outlooks = Outlooks::open(scratch.path("feeds"), 1, [this](HttpRequest request) { return answer(request); }).value();
    }
    ~OutlooksTest() override { outlooks->stop_polling(); }

    HttpAnswer answer(const HttpRequest& request) {
        std::lock_guard lock(mutex);
        asked.push_back(request.url);
        HttpAnswer answer;
        answer.status = 503;
        for (const auto& [start, text] : answers)
            if (request.url.starts_with(start)) answer.status = 200, answer.text = text;
        return answer;
    }
    scheduler::CarbonRule& rule(const std::string& job) { return config.jobs[job].rules.carbon; }
    scheduler::Feed& feed(const std::string& name, const std::string& kind) {
        config.feeds[name] = {kind, kind.starts_with("watttime") ? login : "", "https://" + name, {}, 0, 0};
        return config.feeds[name];
    }
    void use() {
        auto made = outlooks->make(config, "hyperd.toml");
        ASSERT_TRUE(made) << made.error().message;
        outlooks->use(std::move(*made), config);
    }
    // Until polls, each of all zones of a feed, brought something new so often, since the test began.
    void poll_until_news(int times) {
        outlooks->start_polling([] { return now; }, [this] {
            std::lock_guard lock(mutex);
            news++;
            changed.notify_all();
        });
        {
            std::unique_lock lock(mutex);
            ASSERT_TRUE(changed.wait_for(lock, seconds(20), [&] { return news >= times; }));
        }
        outlooks->stop_polling();
        outlooks->refresh(config, now);
    }
    std::string notes(const Outlooks::ByZone& zones, const std::string& zone) const {
        std::string all;
        for (const std::string& note : zones.at(zone).notes) all += note + "\n";
        return all;
    }
    std::string refused() {
        auto checked = check_sources(config, "hyperd.toml");
        return checked ? "good" : checked.error().message;
    }
    void write_table() {
        config.carbon_table = scratch.path("table.csv");
        std::ofstream file(config.carbon_table);
        file << "time,DE\n";
        for (int hour = 0; hour < 24; hour++) file << instant_text(day + hours(hour)) << ",111\n";
    }

    carbon::Scratch scratch;
    std::string login;
    scheduler::Config config;
    std::mutex mutex;
    std::condition_variable changed;
    int news = 0;                               // guarded by mutex, as are these
    std::map<std::string, std::string> answers;
    std::vector<std::string> asked;
    std::unique_ptr<Outlooks> outlooks;
};

TEST_F(OutlooksTest, a_feed_is_asked_for_the_zones_that_jobs_name) {
    feed("charts", "energy-charts");
    rule("db").source_grid = "DE";
    answers["https://charts"] = energy_charts(300);
    use();
    poll_until_news(1);
    EXPECT_EQ(asked, std::vector<std::string>{"https://charts/co2eq?country=de"});
    const auto& outlook = outlooks->average().at("DE");
    EXPECT_EQ(outlook.grams_per_kwh.at(now + hours(5)), 300);
    EXPECT_EQ(outlook.issue.substr(0, 30), "DE charts 2026-03-01T10:07:00Z");
    EXPECT_EQ(notes(outlooks->average(), "DE").substr(0, 84), "zone DE: 10:00 UTC to 2026-03-03 00:00 UTC: charts's forecast of 10:07 UTC, CO2 equi");
    EXPECT_EQ(outlooks->status("DE", SignalKind::average, now)->source, "charts");
}

TEST_F(OutlooksTest, the_table_is_the_last_of_the_chain) {
    feed("charts", "energy-charts");
    rule("db").source_grid = "DE";
    write_table();
    use();
    poll_until_news(1);
    EXPECT_EQ(outlooks->average().at("DE").grams_per_kwh.at(now), 111);
    EXPECT_EQ(outlooks->average().at("DE").issue, "DE table");
    std::string said = notes(outlooks->average(), "DE");
    EXPECT_NE(said.find("zone DE: charts: 503, next try "), said.npos) << said;
    EXPECT_NE(said.find("zone DE: 10:00 UTC to 2026-03-05 11:00 UTC: the table"), said.npos) << said;
}

TEST_F(OutlooksTest, a_zone_has_its_own_order_of_feeds) {
    feed("a", "energy-charts");
    feed("b", "energy-charts");
    answers["https://a"] = energy_charts(300);
    answers["https://b"] = energy_charts(400);
    config.zones["DE"].feeds = {"b", "a"};
    config.zones["FR"].feeds = {"b"};
    config.feeds.at("a").zones = {"DE", "FR"};
    for (const char* zone : {"DE", "FR", "PL"}) rule(zone).source_grid = zone;
    use();
    poll_until_news(2);
    EXPECT_EQ(outlooks->status("DE", SignalKind::average, now)->source, "b");
    std::ranges::sort(asked);
    EXPECT_EQ(asked, (std::vector<std::string>{"https://a/co2eq?country=de", "https://b/co2eq?country=de", "https://b/co2eq?country=fr",
                                               "https://b/co2eq?country=pl"}))
        << "PL is none of a's zones";
}

TEST_F(OutlooksTest, marginal_and_average_stay_apart) {
    feed("moer", "watttime");
    config.zones["US-CAL-CISO"].region = "CAISO_NORTH";
    rule("db").source_grid = "US-CAL-CISO";
    rule("db").signal = SignalKind::marginal;
    rule("other").source_grid = "US-CAL-CISO";
    answers["https://moer/login"] = R"({"token":"a.b.c"})";
    answers["https://moer/v3"] = watttime("1000");
    use();
    poll_until_news(1);
    EXPECT_DOUBLE_EQ(outlooks->marginal().at("US-CAL-CISO").grams_per_kwh.at(now).value(), 453.59237);
    EXPECT_FALSE(outlooks->average().at("US-CAL-CISO").grams_per_kwh.at(now));
    EXPECT_TRUE(outlooks->measured("US-CAL-CISO", SignalKind::marginal, now, now + Seconds(1))->at(now));
    EXPECT_FALSE(outlooks->measured("US-CAL-CISO", SignalKind::average, now, now + Seconds(1)));
}

TEST_F(OutlooksTest, a_run_is_settled_by_the_marginal_intensity_that_was_measured) {
    feed("moer", "watttime");
    config.zones["US-CAL-CISO"].region = "CAISO_NORTH";
    rule("db").source_grid = "US-CAL-CISO";
    rule("db").signal = SignalKind::marginal;
    answers["https://moer/login"] = R"({"token":"a.b.c"})";
    answers["https://moer/v3"] = watttime("1000");
    use();
    poll_until_news(1);
    scheduler::RunRow row;
    row.due = day + hours(10) + minutes(5);
    row.stretches = {{row.due, row.due + minutes(2)}};
    row.energy.source = {1, 2, 3};
    EXPECT_TRUE(settle(row, rule("db"), *outlooks, now));
    ASSERT_TRUE(row.grams);
    EXPECT_NEAR(row.grams->middle, 2 * 453.59237, 1e-9);
    row.grams.reset();
    rule("db").signal = SignalKind::average;
    EXPECT_FALSE(settle(row, rule("db"), *outlooks, now));
}

TEST_F(OutlooksTest, a_run_is_settled_by_the_second_feed_where_the_first_has_died) {
    feed("a", "energy-charts");
    feed("b", "energy-charts");
    answers["https://a"] = energy_charts(300, 0, 5);
    answers["https://b"] = energy_charts(400, 2);
    config.zones["DE"].feeds = {"a", "b"};
    rule("db").source_grid = "DE";
    use();
    poll_until_news(2);
    scheduler::RunRow row;
    row.energy.source = {1, 2, 3};
    auto run = [&](int hour) {
        row.due = day + hours(hour);
        row.stretches = {{row.due, row.due + hours(1)}};
        row.grams = row.grams_at_once = {};
        settle(row, rule("db"), *outlooks, now);
        return row.grams ? row.grams->middle : 0;
    };
    EXPECT_NEAR(run(8), 2 * 400, 1e-9);
    EXPECT_NEAR(run(1), 2 * 300, 1e-9);
    EXPECT_NEAR(run(3), 2 * 300, 1e-9) << "both know it";
    row.deadline = day + hours(9);
    EXPECT_NEAR(run(3), 2 * 400, 1e-9) << "it is compared with what foresight could have had";
    EXPECT_NEAR(row.grams_foresight->middle, 2 * 400, 1e-9);
    EXPECT_NEAR(row.grams_at_once->middle, 2 * 400, 1e-9);
}

TEST_F(OutlooksTest, without_a_marginal_feed_it_is_said_that_nothing_is_known) {
    feed("charts", "energy-charts");
    rule("db").source_grid = "DE";
    rule("db").signal = SignalKind::marginal;
    write_table();
    use();
    outlooks->refresh(config, now);
    EXPECT_FALSE(outlooks->marginal().at("DE").grams_per_kwh.at(now));
    EXPECT_EQ(outlooks->marginal().at("DE").issue, "");
    EXPECT_EQ(outlooks->marginal().at("DE").notes[0],
              "zone DE (marginal): no feed of its marginal intensity is configured, and the average one is not taken instead");
    EXPECT_TRUE(outlooks->average().empty());
}

TEST_F(OutlooksTest, an_end_of_which_nothing_is_known_does_not_hide_the_other) {
    feed("charts", "energy-charts");
    answers["https://charts"] = energy_charts(300);
    rule("db").source_grid = "DE";
    rule("db").target_grid = "US-CAL-CISO";
    use();
    poll_until_news(1);
    std::map<std::string, scheduler::JobState> states;
    const std::map<std::string, std::vector<scheduler::SyncMeasure>> measures;
    const std::map<std::string, scheduler::Money> costs;
    scheduler::World world{config, states, outlooks->average(), outlooks->marginal(), measures, costs, {}, now, 1};
    scheduler::RunWeights weights(config.jobs["db"], world, 1'000'000'000, hours(1));
    EXPECT_GT(weights.weigh(now + hours(24)).size(), 20u);
    EXPECT_TRUE(weights.weigh(now + hours(24)).known(now, now + hours(1)));
    EXPECT_TRUE(weights.grams(now));
    auto said = weights.notes();
    EXPECT_TRUE(std::ranges::any_of(said, [](const std::string& note) { return note.ends_with("US-CAL-CISO: no feed of its average intensity is configured"); }));
}

TEST_F(OutlooksTest, what_was_said_is_known_after_a_restart) {
    feed("charts", "energy-charts");
    rule("db").source_grid = "DE";
    answers["https://charts"] = energy_charts(300);
    use();
    poll_until_news(1);
    outlooks.reset();
    outlooks = Outlooks::open(scratch.path("feeds"), 1, [](HttpRequest) { return HttpAnswer{}; }).value();
    use();
    outlooks->refresh(config, now + hours(1));
    EXPECT_EQ(outlooks->average().at("DE").grams_per_kwh.at(now + hours(2)), 300);
}

TEST_F(OutlooksTest, feeds_are_changed_while_what_they_said_stays) {
    feed("charts", "energy-charts");
    rule("db").source_grid = "DE";
    answers["https://charts"] = energy_charts(300);
    answers["https://more"] = energy_charts(200);
    use();
    poll_until_news(1);
    config.feeds.at("charts").base_url = "https://more";
    rule("db").target_grid = "FR";
    use();
    asked.clear();
    outlooks->refresh(config, now);
    EXPECT_EQ(outlooks->average().at("DE").grams_per_kwh.at(now + hours(2)), 300) << "from the store";
    poll_until_news(2);
    for (const std::string& url : asked) EXPECT_TRUE(url.starts_with("https://more/")) << url;
    EXPECT_EQ(outlooks->average().at("FR").grams_per_kwh.at(now + hours(2)), 200);
}

TEST_F(OutlooksTest, a_zone_of_a_new_job_is_asked_for_without_a_new_configuration) {
    feed("charts", "energy-charts");
    answers["https://charts"] = energy_charts(300);
    use();
    EXPECT_FALSE(outlooks->status("FR", SignalKind::average, now));
    rule("db").source_grid = "FR";
    outlooks->add_zones(config);
    poll_until_news(1);
    EXPECT_EQ(outlooks->status("FR", SignalKind::average, now)->grams_per_kwh, 300);
}

TEST_F(OutlooksTest, a_feed_that_cannot_be_is_refused_with_file_key_and_what_to_do) {
    feed("charts", "energy-charts");
    EXPECT_EQ(refused(), "good");
    config.feeds["charts"].token_file = login;
    EXPECT_EQ(refused(), "hyperd.toml: feeds.charts.token_file: energy-charts wants none");
    config.feeds["charts"] = {"electricitymaps", "", "", {}, 0, 0};
    EXPECT_EQ(refused(), "hyperd.toml: feeds.charts.token_file: electricitymaps wants one");
    config.feeds["charts"].token_file = login;
    EXPECT_EQ(refused(), "good");
    config.feeds["charts"].base_url = "http://elsewhere.example";
    EXPECT_EQ(refused(), "hyperd.toml: feeds.charts.base_url: has to be https://HOST/PATH, without a password in it and without a slash at its end");
    config.feeds["charts"] = {"watttime", login, "", {}, 0, 0};
    EXPECT_EQ(refused(), "hyperd.toml: feeds.charts: watttime wants its region of each zone ([zones.US-CAL-CISO] region = \"CAISO_NORTH\")");
}

TEST_F(OutlooksTest, a_token_file_that_others_may_read_is_refused) {
    feed("em", "electricitymaps").token_file = login;
    std::filesystem::permissions(login, std::filesystem::perms(0644));
    EXPECT_EQ(refused(), "hyperd.toml: feeds.em.token_file: token file " + login + ": others may use it (mode 0644): chmod 0600 it");
}

}  // namespace
}  // namespace hyper::hyperd
