// SPDX-License-Identifier: Apache-2.0
// The fall-back chain: which step is of what, and what is said of it.
#include "carbon/feeds/zone_chain.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hyper::carbon {
namespace {

using namespace std::chrono;

constexpr Instant day = sys_days(2026y / March / 30);  // a Monday
constexpr Instant now = day + hours(11) + minutes(50);

StepSeries flat(Instant from, size_t count, double value, Seconds step = hours(1)) {
    return StepSeries(from, step, std::vector<double>(count, value));
}

class Chain : public testing::Test {
  protected:
    Chain() : chain_("DE", SignalKind::average, {{"electricitymaps", "life-cycle", hours(1)}, {"energy-charts", "life-cycle", hours(1)}}, {}) {}

    void issue(size_t feed, Instant at, const StepSeries& series) { chain_.memory(feed).take({StoredAnswer::What::forecast, at, at, {series, {}}}); }
    void measured(size_t feed, const StepSeries& series, bool estimated = false) {
        chain_.memory(feed).take({StoredAnswer::What::measured, now, {}, {series, std::vector<bool>(series.size(), estimated)}});
    }
    std::string words(Instant until) {
        std::string all;
        for (const std::string& line : chain_.outlook(now, until).words) all += line + "\n";
        return all;
    }

    ZoneChain chain_;
};

TEST_F(Chain, prefers_the_first_feed_and_goes_on_with_the_second) {
    issue(0, day + hours(11), flat(day + hours(11), 12, 300));
    issue(1, day + hours(11), flat(day + hours(11), 48, 250));
    ZoneOutlook outlook = chain_.outlook(now, now + hours(24));
    ASSERT_EQ(outlook.series.size(), 25u);
    EXPECT_EQ(outlook.qualities[0], Quality::forecast);
    EXPECT_EQ(outlook.qualities[11], Quality::forecast);
    EXPECT_EQ(outlook.qualities[12], Quality::second_forecast);
    EXPECT_DOUBLE_EQ(outlook.series.values()[0], 300);
    EXPECT_DOUBLE_EQ(outlook.series.values()[12], 300) << "raised by what the two differ by";
    EXPECT_EQ(words(now + hours(24)), "11:00 UTC to 23:00 UTC: electricitymaps's forecast of 11:00 UTC, life-cycle\n"
                                      "23:00 UTC to 2026-03-31 12:00 UTC: energy-charts's forecast of 11:00 UTC, life-cycle\n");
}

TEST_F(Chain, takes_measurements_of_the_first_feed_that_covers_the_time) {
    measured(0, flat(day, 6, 300));
    measured(1, flat(day, 11, 250));
    auto of = [&](Instant from, Instant until) { return chain_.measured(from, until).mean(from, until); };
    EXPECT_EQ(of(day + hours(1), day + hours(3)), 300) << "both do";
    EXPECT_EQ(of(day + hours(5), day + hours(8)), 250) << "the first has stopped by then";
    EXPECT_EQ(of(day + hours(9), day + hours(13)), std::nullopt) << "none does";
    EXPECT_EQ(chain_.measured(day + hours(9), day + hours(13)).at(day + hours(9)), 250) << "the second tells most";
}

TEST_F(Chain, uses_a_stale_forecast_where_no_feed_has_a_fresh_one) {
    issue(0, day + hours(3), flat(day + hours(3), 24, 300));
    chain_.set_failure(0, FeedFailure{FeedProblem::too_many, "429 (too many requests)"}, day + hours(12) + minutes(5));
    ZoneOutlook outlook = chain_.outlook(now, now + hours(24));
    EXPECT_EQ(outlook.qualities[0], Quality::stored_forecast);
    EXPECT_EQ(outlook.qualities[15], Quality::stored_forecast);
    EXPECT_EQ(outlook.qualities[16], Quality::unknown) << "its horizon";
    EXPECT_TRUE(std::isnan(outlook.series.values()[16]));
    EXPECT_EQ(outlook.words[0], "electricitymaps: 429 (too many requests), next try 12:05 UTC; using its forecast of 03:00 UTC");
    EXPECT_EQ(outlook.words[2], "2026-03-31 03:00 UTC to 2026-03-31 12:00 UTC: nothing is known");
}

TEST_F(Chain, does_not_say_that_a_forecast_is_used_that_has_ended) {
    measured(0, flat(day - days(14), 24 * 13, 400));
    issue(0, day - days(1), flat(day - days(1), 24, 300));
    chain_.set_failure(0, FeedFailure{FeedProblem::unavailable, "503"}, day + hours(12));
    EXPECT_EQ(chain_.outlook(now, now + hours(1)).words[0], "electricitymaps: 503, next try 12:00 UTC; using what it has measured");
}

TEST_F(Chain, prefers_the_seconds_fresh_forecast_to_the_firsts_stale_one) {
    issue(0, day + hours(3), flat(day + hours(3), 48, 300));
    issue(1, day + hours(11), flat(day + hours(11), 48, 250));
    ZoneOutlook outlook = chain_.outlook(now, now + hours(24));
    EXPECT_EQ(outlook.qualities[0], Quality::second_forecast);
    EXPECT_DOUBLE_EQ(outlook.series.values()[0], 250) << "it is not moved to the stale one";
    EXPECT_EQ(outlook.words[0], "electricitymaps: answers, but its newest forecast is of 03:00 UTC");
}

TEST_F(Chain, lives_on_the_hours_of_the_week) {
    measured(0, flat(day - days(14), 24 * 14, 400));
    ZoneOutlook outlook = chain_.outlook(now, now + hours(24));
    EXPECT_EQ(outlook.qualities[3], Quality::profile);
    EXPECT_NEAR(outlook.series.values()[3], 400, 1e-9);
    EXPECT_NE(words(now + hours(24)).find("what electricitymaps usually measures at that hour of the week"), std::string::npos);
}

TEST_F(Chain, ends_with_the_table_and_its_usual_hours) {
    ZoneChain chain("DE", SignalKind::average, {}, flat(day - days(30), 24 * 31, 123));
    ZoneOutlook outlook = chain.outlook(now, now + days(3));
    EXPECT_EQ(outlook.qualities.front(), Quality::table);
    EXPECT_EQ(outlook.qualities.back(), Quality::table);
    EXPECT_NEAR(outlook.series.values().back(), 123, 1e-9);
    EXPECT_EQ(outlook.issues, "table");
}

TEST_F(Chain, has_the_steps_of_a_table_that_stands_alone) {
    ZoneChain chain("DE", SignalKind::average, {}, flat(day - days(30) + minutes(7), 4 * 24 * 31, 123, minutes(15)));
    ZoneOutlook outlook = chain.outlook(now, now + hours(2));
    EXPECT_EQ(outlook.series.step(), minutes(15));
    EXPECT_EQ(outlook.series.start(), day + hours(11) + minutes(37));
}

TEST_F(Chain, names_the_issues_that_it_is_made_of) {
    measured(0, flat(day - days(14), 24 * 14, 400));
    issue(0, day + hours(11), flat(day + hours(11), 12, 300));
    issue(1, day + hours(10), flat(day + hours(10), 24, 250));
    EXPECT_EQ(chain_.outlook(now, now + hours(36)).issues,
              "electricitymaps 2026-03-30T11:00:00Z + energy-charts 2026-03-30T10:00:00Z + electricitymaps hour-of-week profile");
}

TEST_F(Chain, says_that_there_is_no_marginal_feed_and_takes_no_average) {
    ZoneChain chain("DE", SignalKind::marginal, {}, {});
    EXPECT_EQ(chain.outlook(now, now + hours(1)).words[0], "no feed of its marginal intensity is configured, and the average one is not taken instead");
    EXPECT_EQ(chain.status(now).quality, "unknown");
}

TEST_F(Chain, says_that_nothing_is_known) {
    ZoneOutlook outlook = chain_.outlook(now, now + hours(2));
    EXPECT_EQ(outlook.qualities, std::vector<Quality>(3, Quality::unknown));
    EXPECT_EQ(outlook.words, std::vector<std::string>{"11:00 UTC to 14:00 UTC: nothing is known"});
}

TEST_F(Chain, falls_one_step_after_the_other) {
    measured(0, flat(day - days(14), 24 * 14, 400));
    issue(0, day + hours(4), flat(day + hours(4), 12, 300));
    issue(1, day + hours(11), flat(day + hours(13), 2, 280));
    ZoneOutlook outlook = chain_.outlook(now, now + hours(6));
    EXPECT_EQ(outlook.qualities,
              (std::vector<Quality>{Quality::stored_forecast, Quality::stored_forecast, Quality::second_forecast, Quality::second_forecast,
                                    Quality::stored_forecast, Quality::profile, Quality::profile}));
}

TEST_F(Chain, says_in_one_line_what_is_used_here_and_there) {
    measured(0, flat(day - days(14), 24 * 14, 400));
    issue(0, day + hours(11), StepSeries(day + hours(11), hours(1), {300, NAN, 300, NAN, 300}));
    EXPECT_EQ(words(now + hours(4)), "3.0 h between 11:00 UTC and 16:00 UTC: electricitymaps's forecast of 11:00 UTC, life-cycle\n"
                                     "2.0 h between 12:00 UTC and 15:00 UTC: what electricitymaps usually measures at that hour of the week\n");
}

TEST_F(Chain, keeps_half_hours) {
    issue(0, day + hours(11), flat(day + hours(11), 48, 300, minutes(30)));
    EXPECT_EQ(chain_.outlook(now, now + hours(2)).series.step(), minutes(30));
    EXPECT_EQ(chain_.outlook(now, now + hours(2)).series.start(), day + hours(11) + minutes(30));
}

TEST_F(Chain, tells_the_status_by_what_is_measured) {
    std::vector<double> values;
    for (int hour = 0; hour < 24 * 30 + 12; hour++) values.push_back(200 + hour % 24);
    measured(0, StepSeries(day - days(30), hours(1), values));
    CarbonStatus status = chain_.status(now);
    EXPECT_EQ(status.zone, "DE");
    EXPECT_EQ(status.grams_per_kwh, 211);
    EXPECT_EQ(status.status, "moderate");
    EXPECT_EQ(status.source, "electricitymaps");
    EXPECT_EQ(status.quality, "measured");
    EXPECT_NEAR(*status.rank, 0.48, 0.01);
    EXPECT_EQ(status.issued_at, std::nullopt);
}

TEST_F(Chain, tells_that_a_status_is_an_estimate) {
    measured(0, flat(day + hours(11), 1, 90), true);
    EXPECT_EQ(chain_.status(now).quality, "estimated");
    EXPECT_EQ(chain_.status(now).status, "excellent");
    EXPECT_EQ(chain_.status(now).rank, std::nullopt) << "a week has to be known";
}

TEST_F(Chain, tells_the_status_by_a_forecast_with_its_issue) {
    issue(1, day + hours(11), flat(day + hours(11), 5, 650));
    CarbonStatus status = chain_.status(now);
    EXPECT_EQ(status.grams_per_kwh, 650);
    EXPECT_EQ(status.status, "very poor");
    EXPECT_EQ(status.source, "energy-charts");
    EXPECT_EQ(status.quality, "second feed's forecast");
    EXPECT_EQ(status.issued_at, day + hours(11));
}

TEST_F(Chain, tells_an_unknown_status) {
    chain_.set_failure(0, FeedFailure{FeedProblem::not_allowed, "401: not allowed (check the token in /run/token)"}, day + hours(13));
    CarbonStatus status = chain_.status(now);
    EXPECT_EQ(status.grams_per_kwh, std::nullopt);
    EXPECT_EQ(status.status, "unknown");
    EXPECT_EQ(status.quality, "unknown");
    EXPECT_EQ(status.words[0], "electricitymaps: 401: not allowed (check the token in /run/token), next try 13:00 UTC; nothing of it is known");
}

}  // namespace
}  // namespace hyper::carbon
