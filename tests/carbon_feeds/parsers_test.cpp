// SPDX-License-Identifier: Apache-2.0
// Answers of the four services, in the shapes that they have, and in shapes that they should not have.
#include <gtest/gtest.h>

#include <cmath>

#include "carbon/feeds/electricity_maps.h"
#include "carbon/feeds/energy_charts.h"
#include "carbon/feeds/gb_carbon_intensity.h"
#include "carbon/feeds/points.h"
#include "carbon/feeds/watttime.h"

namespace hyper::carbon {
namespace {

using namespace std::chrono;

constexpr Instant day = sys_days(2026y / March / 1);
constexpr Instant now = day + hours(10);

std::string history(const std::string& rows) { return R"({"zone":"DE","history":[)" + rows + "]}"; }

TEST(ElectricityMapsParser, reads_a_day_with_gaps_and_estimates) {
    auto steps = electricity_maps::read_history(history(R"(
        {"zone":"DE","carbonIntensity":302,"datetime":"2026-03-01T08:00:00.000Z","updatedAt":"2026-03-01T09:12:00.000Z",
         "emissionFactorType":"lifecycle",
         "isEstimated":false,"estimationMethod":null},
        {"zone":"DE","carbonIntensity":null,"datetime":"2026-03-01T09:00:00.000Z","emissionFactorType":"lifecycle","isEstimated":false},
        {"zone":"DE","carbonIntensity":280.5,"datetime":"2026-03-01T10:00:00.000Z","emissionFactorType":"lifecycle","isEstimated":true,
         "estimationMethod":"TIME_SLICER_AVERAGE"})"), "DE");
    ASSERT_TRUE(steps) << steps.error().message;
    ASSERT_EQ(steps->series.size(), 3u);
    EXPECT_EQ(steps->series.start(), day + hours(8));
    EXPECT_EQ(steps->series.step(), hours(1));
    EXPECT_EQ(steps->series.values()[0], 302);
    EXPECT_TRUE(std::isnan(steps->series.values()[1]));
    EXPECT_EQ(steps->series.values()[2], 280.5);
    EXPECT_EQ(steps->estimated, (std::vector<bool>{false, false, true}));
}

TEST(ElectricityMapsParser, reads_the_latest_value_alone) {
    auto steps = electricity_maps::read_latest(
        R"({"zone":"DE","carbonIntensity":302,"datetime":"2026-03-01T08:00:00.000Z","isEstimated":true})", "DE");
    ASSERT_TRUE(steps) << steps.error().message;
    EXPECT_EQ(steps->series.at(day + hours(8) + minutes(59)), 302);
    EXPECT_EQ(steps->series.at(day + hours(9)), std::nullopt);
    EXPECT_TRUE(steps->estimated[0]);
}

TEST(ElectricityMapsParser, reads_a_forecast_with_its_issue_time) {
    std::string rows = R"("forecast":[{"carbonIntensity":300,"datetime":"2026-03-01T10:00:00.000Z"},
                                      {"carbonIntensity":290,"datetime":"2026-03-01T11:00:00.000Z"}]})";
    auto forecast = electricity_maps::read_forecast(R"({"zone":"DE","updatedAt":"2026-03-01T09:30:00.000Z",)" + rows, "DE", now);
    ASSERT_TRUE(forecast) << forecast.error().message;
    EXPECT_EQ(forecast->issued_at, day + hours(9) + minutes(30));
    EXPECT_EQ(forecast->series.size(), 2u);
    EXPECT_EQ(electricity_maps::read_forecast(R"({"zone":"DE",)" + rows, "DE", now)->issued_at, now) << "not told";
    std::string future = R"({"zone":"DE","updatedAt":"2999-01-01T00:00:00Z",)" + rows;
    EXPECT_EQ(electricity_maps::read_forecast(future, "DE", now)->issued_at, now) << "in the future";
}

TEST(ElectricityMapsParser, refuses_what_is_of_another_zone_or_unit) {
    auto zone = electricity_maps::read_history(R"({"zone":"FR","history":[]})", "DE");
    ASSERT_FALSE(zone);
    EXPECT_EQ(zone.error().message, "zone is \"FR\" where \"DE\" was asked for");
    EXPECT_FALSE(electricity_maps::read_latest(
        R"({"zone":"DE","carbonIntensity":302,"datetime":"2026-03-01T08:00:00Z","emissionFactorType":"direct"})", "DE"));
    EXPECT_FALSE(electricity_maps::read_latest(R"({"zone":"DE","carbonIntensity":302000,"datetime":"2026-03-01T08:00:00Z"})", "DE"));
    EXPECT_FALSE(electricity_maps::read_latest(R"({"zone":"DE","carbonIntensity":-3,"datetime":"2026-03-01T08:00:00Z"})", "DE"));
    EXPECT_FALSE(electricity_maps::read_latest(R"({"zone":"DE","carbonIntensity":"302","datetime":"2026-03-01T08:00:00Z"})", "DE"));
}

TEST(ElectricityMapsParser, refuses_what_is_no_such_answer) {
    for (const char* text : {"", "null", "[]", "{}", R"({"zone":"DE"})", R"({"zone":"DE","history":{}})", R"({"zone":"DE","history":[1]})",
                             R"({"zone":1,"history":[]})", R"({"zone":"DE","history":[{"datetime":"soon","carbonIntensity":1}]})", "<html>",
                             "{\"zone\":\"DE\",\"history\":["})
        EXPECT_FALSE(electricity_maps::read_history(text, "DE")) << text;
}

std::string moer(const std::string& meta, const std::string& rows) { return R"({"data":[)" + rows + R"(],"meta":{)" + meta + "}}"; }
constexpr const char* meta = R"("data_point_period_seconds":300,"region":"CAISO_NORTH","warnings":[],"signal_type":"co2_moer",
    "model":{"date":"2024-12-01"},
    "units":"lbs_co2_per_mwh","generated_at_period_seconds":300,"generated_at":"2026-03-01T09:50:00+00:00")";

TEST(WattTimeParser, converts_pounds_per_mwh) {
    std::string rows = R"({"point_time":"2026-03-01T09:50:00+00:00","value":1000},{"point_time":"2026-03-01T09:55:00+00:00","value":0.0})";
    auto answer = watttime::read_answer(moer(meta, rows), "CAISO_NORTH", "co2_moer", now);
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_DOUBLE_EQ(answer->steps.series.values()[0], 453.59237);
    EXPECT_EQ(answer->steps.series.step(), minutes(5));
    EXPECT_EQ(answer->generated_at, day + hours(9) + minutes(50));
}

TEST(WattTimeParser, refuses_another_region_signal_or_unit) {
    std::string rows = R"({"point_time":"2026-03-01T09:50:00+00:00","value":1000})";
    EXPECT_FALSE(watttime::read_answer(moer(meta, rows), "PJM_DC", "co2_moer", now));
    auto average = watttime::read_answer(moer(meta, rows), "CAISO_NORTH", "co2_aoer", now);
    ASSERT_FALSE(average);
    EXPECT_EQ(average.error().message, "signal_type is \"co2_moer\" where \"co2_aoer\" was asked for");
    std::string metric = meta;
    metric.replace(metric.find("lbs_co2_per_mwh"), 15, "kg_co2_per_mwh!");
    EXPECT_FALSE(watttime::read_answer(moer(metric, rows), "CAISO_NORTH", "co2_moer", now));
    EXPECT_FALSE(watttime::read_answer(R"({"data":[]})", "CAISO_NORTH", "co2_moer", now));
}

TEST(WattTimeParser, reads_a_token_that_can_be_one) {
    EXPECT_EQ(*watttime::read_login(R"({"token":"abc.def-ghi"})"), "abc.def-ghi");
    for (const char* text : {R"({"token":""})", R"({"token":"a\r\nHost: b"})", R"({"token":null})", R"({"token":"a b"})"})
        EXPECT_FALSE(watttime::read_login(text)) << text;
}

TEST(GbCarbonIntensityParser, tells_measured_from_forecast_half_hours) {
    auto answer = gb_carbon_intensity::read_answer(R"({"data":[
        {"from":"2026-03-01T09:30Z","to":"2026-03-01T10:00Z","intensity":{"forecast":211,"actual":206,"index":"high"}},
        {"from":"2026-03-01T10:00Z","to":"2026-03-01T10:30Z","intensity":{"forecast":216,"actual":null,"index":"high"}}]})");
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->measured.series.size(), 1u);
    EXPECT_EQ(answer->measured.series.at(day + hours(9) + minutes(45)), 206);
    EXPECT_EQ(answer->forecast.series.size(), 2u);
    EXPECT_EQ(answer->forecast.series.step(), minutes(30));
}

TEST(GbCarbonIntensityParser, refuses_a_region_and_other_steps) {
    EXPECT_FALSE(gb_carbon_intensity::read_answer(R"({"data":{"regionid":13,"shortname":"London","data":[]}})"));
    EXPECT_FALSE(gb_carbon_intensity::read_answer(
        R"({"data":[{"from":"2026-03-01T09:30Z","to":"2026-03-01T10:30Z","intensity":{"forecast":211,"actual":206}}]})"));
    EXPECT_FALSE(gb_carbon_intensity::read_answer(R"({"error":{"code":"400 Bad Request","message":"no"}})"));
}

TEST(EnergyChartsParser, reads_columns_with_nulls) {
    auto answer = energy_charts::read_answer(
        R"({"unix_seconds":[1772323200,1772324100,1772325000],"co2eq":[300.5,null,null],"co2eq_forecast":[310,305,290],
            "substitute":false,"deprecated":false})");
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->measured.series.size(), 1u);
    EXPECT_EQ(answer->forecast.series.step(), minutes(15));
    EXPECT_EQ(answer->forecast.series.values(), (std::vector<double>{310, 305, 290}));
}

TEST(EnergyChartsParser, takes_null_for_a_column) {
    auto answer = energy_charts::read_answer(R"({"unix_seconds":[1772323200],"co2eq":[300.5],"co2eq_forecast":null})");
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_TRUE(answer->forecast.series.empty());
}

TEST(EnergyChartsParser, refuses_columns_that_do_not_fit) {
    for (const char* text : {R"({"unix_seconds":[1772323200],"co2eq":[1,2]})", R"({"unix_seconds":["a"],"co2eq":[1]})",
                             R"({"unix_seconds":[1e99],"co2eq":[1]})", R"({"unix_seconds":[1772323200],"co2eq":[-1]})",
                             R"({"unix_seconds":[1772323200,4000000000],"co2eq":[1,2]})", R"({"co2eq":[1]})"})
        EXPECT_FALSE(energy_charts::read_answer(text)) << text;
}

TEST(Points, make_steps_of_the_least_distance) {
    auto steps = steps_of({{day + minutes(60), 3}, {day, 1}, {day + minutes(15), 2}}, hours(1));
    ASSERT_TRUE(steps) << steps.error().message;
    EXPECT_EQ(steps->series.step(), minutes(15));
    ASSERT_EQ(steps->series.size(), 5u);
    EXPECT_EQ(steps->series.values()[4], 3);
    EXPECT_TRUE(std::isnan(steps->series.values()[2]));
}

TEST(Points, take_a_gap_for_no_longer_step) {
    auto steps = steps_of({{day, 1}, {day + hours(2), 2}}, hours(1));
    ASSERT_TRUE(steps);
    EXPECT_EQ(steps->series.step(), hours(1));
    EXPECT_EQ(steps->series.at(day + minutes(90)), std::nullopt);
}

TEST(Points, are_bounded) {
    EXPECT_FALSE(steps_of({{day, 1}, {day + seconds(30), 2}}, hours(1)));
    EXPECT_FALSE(steps_of({{day, 1}, {day + days(20000), 2}}, hours(1)));
    EXPECT_FALSE(steps_of({{day, 1}, {day + minutes(5), 1}, {day + minutes(12), 2}}, hours(1)));
    EXPECT_FALSE(steps_of({{day, NAN}}, hours(1)));
}

}  // namespace
}  // namespace hyper::carbon
