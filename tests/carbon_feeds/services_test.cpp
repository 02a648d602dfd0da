// SPDX-License-Identifier: Apache-2.0
// What the four feeds ask, in which order, and what they make of it when a part fails.
#include <gtest/gtest.h>

#include "carbon/feeds/electricity_maps.h"
#include "carbon/feeds/energy_charts.h"
#include "carbon/feeds/feed_settings.h"
#include "carbon/feeds/gb_carbon_intensity.h"
#include "carbon/feeds/watttime.h"
#include "tests/carbon_feeds/scratch.h"

namespace hyper::carbon {
namespace {

using namespace std::chrono;

constexpr Instant day = sys_days(2026y / March / 1);
constexpr Instant now = day + hours(10) + minutes(7);

// Answers by the path's first part; notes what was asked.
class Services : public testing::Test {
  protected:
    struct Said {
        int status = 200;
        std::string text;
    };
    Caller caller(FeedAbout about) {
        auto ask = [this](HttpRequest request) {
            asked_.push_back(request);
            HttpAnswer answer;
            std::string path = request.url.substr(std::string("https://x").size());
            for (const auto& [start, said] : answers_)
                if (path.starts_with(start)) answer.status = said.status, answer.text = said.text;
            if (answer.status == 0) answer.status = 404;
            return answer;
        };
        return Caller(std::move(about), "https://x", ask, std::make_shared<CallLimit>(0, 0, ""));
    }
    std::string path(size_t index) { return asked_.at(index).url.substr(std::string("https://x").size()); }

    Scratch scratch_;
    std::string token_ = scratch_.secret("token", "hunter2\n"), login_ = scratch_.secret("login", "freddo:frog\n");
    std::map<std::string, Said> answers_;
    std::vector<HttpRequest> asked_;
};

constexpr const char* em_history =
    R"({"zone":"DE","history":[{"zone":"DE","carbonIntensity":302,"datetime":"2026-03-01T10:00:00.000Z","isEstimated":true}]})";
constexpr const char* em_latest = R"({"zone":"DE","carbonIntensity":303,"datetime":"2026-03-01T10:00:00.000Z"})";
constexpr const char* em_forecast =
    R"({"zone":"DE","forecast":[{"carbonIntensity":290,"datetime":"2026-03-01T11:00:00.000Z"}],"updatedAt":"2026-03-01T10:02:00.000Z"})";

TEST_F(Services, electricity_maps_is_asked_with_the_token_in_a_header) {
    answers_ = {{"/carbon-intensity/history", {200, em_history}}, {"/carbon-intensity/forecast", {200, em_forecast}}};
    ElectricityMaps feed(caller(ElectricityMaps::usual_about()), token_);
    auto report = feed.fetch("DE", now);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_FALSE(report->missing);
    EXPECT_EQ(report->measured.series.at(now), 302);
    EXPECT_EQ(report->forecast->issued_at, day + hours(10) + minutes(2));
    EXPECT_EQ(path(0), "/carbon-intensity/history?zone=DE&emissionFactorType=lifecycle");
    EXPECT_EQ(path(1), "/carbon-intensity/forecast?zone=DE&emissionFactorType=lifecycle");
    for (const HttpRequest& request : asked_) {
        EXPECT_EQ(request.headers, (HttpHeaders{{"auth-token", "hunter2"}}));
        EXPECT_EQ(request.url.find("hunter2"), std::string::npos);
        EXPECT_GT(request.deadline_ns, 0);
    }
}

TEST_F(Services, electricity_maps_without_history_or_forecast_gives_the_latest_value) {
    answers_ = {{"/carbon-intensity/history", {403, ""}}, {"/carbon-intensity/forecast", {403, ""}}, {"/carbon-intensity/latest", {200, em_latest}}};
    ElectricityMaps feed(caller(ElectricityMaps::usual_about()), token_);
    auto report = feed.fetch("DE", now);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->measured.series.at(now), 303);
    ASSERT_TRUE(report->missing);
    EXPECT_EQ(report->missing->message, "403: not allowed (check the token in " + token_ + ")");
}

TEST_F(Services, electricity_maps_asks_no_more_when_the_service_is_down) {
    answers_ = {{"/carbon-intensity/", {503, ""}}};
    ElectricityMaps feed(caller(ElectricityMaps::usual_about()), token_);
    EXPECT_EQ(feed.fetch("DE", now).error().problem, FeedProblem::unavailable);
    EXPECT_EQ(asked_.size(), 1u);
}

TEST_F(Services, electricity_maps_wants_a_token_file) {
    ElectricityMaps feed(caller(ElectricityMaps::usual_about()), scratch_.path("none"));
    auto report = feed.fetch("DE", now);
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().problem, FeedProblem::misconfigured);
    EXPECT_TRUE(asked_.empty());
}

TEST_F(Services, a_garbled_forecast_leaves_what_was_measured) {
    answers_ = {{"/carbon-intensity/history", {200, em_history}}, {"/carbon-intensity/forecast", {200, "<html>"}}};
    ElectricityMaps feed(caller(ElectricityMaps::usual_about()), token_);
    auto report = feed.fetch("DE", now);
    ASSERT_TRUE(report);
    EXPECT_EQ(report->missing->problem, FeedProblem::garbage);
    EXPECT_EQ(report->missing->message, "an answer of a forecast that is none: 6 bytes that are no JSON");
}

std::string moer(const char* value) {
    return std::string(R"({"data":[{"point_time":"2026-03-01T10:05:00+00:00","value":)") + value +
           R"(}],"meta":{"region":"CAISO_NORTH","signal_type":"co2_moer","units":"lbs_co2_per_mwh","generated_at":"2026-03-01T10:05:00+00:00"}})";
}

class WattTimeService : public Services {
  protected:
    WattTimeService() {
        answers_ = {{"/login", {200, R"({"token":"a.b.c"})"}}, {"/v3/forecast", {200, moer("1000")}}, {"/v3/historical", {200, moer("900")}}};
    }
    WattTime<SignalKind::marginal> feed_{caller(WattTime<SignalKind::marginal>::usual_about()), login_, {{"US-CAL-CISO", "CAISO_NORTH"}}};
};

TEST_F(WattTimeService, logs_in_once_for_25_minutes) {
    auto report = feed_.fetch("US-CAL-CISO", now);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_DOUBLE_EQ(report->forecast->series.values()[0], 453.59237);
    EXPECT_EQ(path(0), "/login");
    EXPECT_EQ(asked_[0].basic, "freddo:frog");
    EXPECT_EQ(path(1), "/v3/forecast?region=CAISO_NORTH&signal_type=co2_moer&horizon_hours=72");
    EXPECT_EQ(asked_[1].headers, (HttpHeaders{{"Authorization", "Bearer a.b.c"}}));
    EXPECT_EQ(path(2), "/v3/historical?region=CAISO_NORTH&signal_type=co2_moer&start=2026-02-28T10:07:00Z&end=2026-03-01T10:07:00Z");
    ASSERT_TRUE(feed_.fetch("US-CAL-CISO", now + minutes(24)));
    EXPECT_EQ(asked_.size(), 5u);
    ASSERT_TRUE(feed_.fetch("US-CAL-CISO", now + minutes(25)));
    EXPECT_EQ(path(5), "/login");
}

TEST_F(WattTimeService, logs_in_again_when_a_token_ended_before_its_time) {
    ASSERT_TRUE(feed_.fetch("US-CAL-CISO", now));
    answers_["/v3/"] = {401, ""};
    answers_.erase("/v3/forecast"), answers_.erase("/v3/historical");
    EXPECT_EQ(feed_.fetch("US-CAL-CISO", now + minutes(5)).error().problem, FeedProblem::not_allowed);
    answers_["/v3/forecast"] = {200, moer("1000")};
    size_t before = asked_.size();
    EXPECT_TRUE(feed_.fetch("US-CAL-CISO", now + minutes(6)));
    EXPECT_EQ(path(before), "/login");
}

TEST_F(WattTimeService, says_which_file_to_check) {
    answers_ = {{"/login", {401, ""}}};
    auto report = feed_.fetch("US-CAL-CISO", now);
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().problem, FeedProblem::not_allowed);
    EXPECT_EQ(report.error().message, "401: not allowed (check the name and password in " + login_ + ")");
}

TEST_F(WattTimeService, offers_the_zones_whose_region_is_configured) {
    EXPECT_TRUE(feed_.offers("US-CAL-CISO"));
    EXPECT_FALSE(feed_.offers("DE"));
}

TEST_F(Services, gb_is_asked_by_half_hours) {
    answers_ = {{"/intensity/2026-03-01T10:00Z/fw48h",
                 {200, R"({"data":[{"from":"2026-03-01T10:00Z","to":"2026-03-01T10:30Z","intensity":{"forecast":216,"actual":null}}]})"}},
                {"/intensity/2026-03-01T10:00Z/pt24h",
                 {200, R"({"data":[{"from":"2026-03-01T09:30Z","to":"2026-03-01T10:00Z","intensity":{"forecast":211,"actual":206}}]})"}}};
    GbCarbonIntensity feed(caller(GbCarbonIntensity::usual_about()));
    auto report = feed.fetch("GB", now);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->forecast->issued_at, now);
    EXPECT_EQ(report->forecast->series.at(now), 216);
    EXPECT_EQ(report->measured.series.at(now - minutes(20)), 206);
    EXPECT_TRUE(feed.offers("GB"));
    EXPECT_FALSE(feed.offers("GB-NIR"));
}

TEST_F(Services, energy_charts_is_asked_by_country) {
    answers_ = {{"/co2eq?country=de", {200, R"({"unix_seconds":[1772359200,1772362800],"co2eq":[300,null],"co2eq_forecast":[null,290]})"}}};
    EnergyCharts feed(caller(EnergyCharts::usual_about()));
    auto report = feed.fetch("DE", now);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->measured.series.at(now), 300);
    EXPECT_EQ(report->forecast->series.at(now + hours(1)), 290);
    EXPECT_TRUE(feed.offers("DE"));
    EXPECT_FALSE(feed.offers("US"));
    EXPECT_FALSE(feed.offers("DK-DK1"));
}

TEST_F(Services, answers_without_a_value_are_none) {
    answers_ = {{"/co2eq", {200, R"({"unix_seconds":[1772359200],"co2eq":[null],"co2eq_forecast":null})"}}};
    EnergyCharts feed(caller(EnergyCharts::usual_about()));
    EXPECT_EQ(feed.fetch("DE", now).error().problem, FeedProblem::garbage);
}

TEST_F(Services, are_made_of_settings) {
    auto ask = [](HttpRequest) { return HttpAnswer{}; };
    auto message = [&](const FeedSettings& settings) {
        auto made = make_feed(settings, scratch_.path("feeds"), ask);
        return std::string(made ? made->average ? "average" : "marginal" : made.error().message.c_str());
    };
    EXPECT_EQ(message({.service = "electricitymaps", .token_file = token_}), "average");
    EXPECT_EQ(message({.service = "gb-carbon-intensity"}), "average");
    EXPECT_EQ(message({.service = "energy-charts", .base_url = "https://other.example"}), "average");
    for (const char* url : {"http://other.example", "https://me:secret@other.example", "https://other.example/"})
        EXPECT_EQ(message({.service = "energy-charts", .base_url = url}),
                  "base_url: has to be https://HOST/PATH, without a password in it and without a slash at its end") << url;
    EXPECT_EQ(message({.name = "a/b", .service = "energy-charts"}), "name: \"a/b\" is none for a feed: 1 to 64 letters, digits, - and _");
    EXPECT_EQ(make_feed({.name = "mine", .service = "energy-charts"}, scratch_.path("feeds"), ask)->average->about().name, "mine");
    EXPECT_EQ(message({.service = "watttime", .token_file = login_, .regions = {{"US-CAL-CISO", "CAISO_NORTH"}}}), "marginal");
    EXPECT_EQ(message({.service = "watttime-average", .token_file = login_, .regions = {{"US-CAL-CISO", "CAISO_NORTH"}}}), "average");
    EXPECT_EQ(message({.service = "electricitymaps"}), "token_file: electricitymaps wants one");
    EXPECT_EQ(message({.service = "energy-charts", .token_file = token_}), "token_file: energy-charts wants none");
    EXPECT_EQ(message({.service = "watttime", .token_file = login_}),
              "regions: watttime wants its region of each zone (US-CAL-CISO = \"CAISO_NORTH\")");
    EXPECT_NE(message({.service = "watttimes"}).find("none of electricitymaps"), std::string::npos);
}

}  // namespace
}  // namespace hyper::carbon
