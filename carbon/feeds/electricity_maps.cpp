// SPDX-License-Identifier: Apache-2.0
#include "carbon/feeds/electricity_maps.h"

#include "carbon/feeds/json.h"
#include "carbon/feeds/points.h"
#include "carbon/feeds/token_file.h"

namespace hyper::carbon {
namespace electricity_maps {
namespace {

constexpr Seconds usual_step = std::chrono::hours(1);

std::string path(const char* which, const std::string& zone) {
    return fmt::format("/carbon-intensity/{}?zone={}&emissionFactorType=lifecycle", which, zone);
}

// One value; nothing where it is null. Rows of a forecast say neither how they were made nor what they count.
Result<std::optional<Point>> read_row(const Json& row) {
    if (member(row, "emissionFactorType") != nullptr) TRY(expect_text(row, "emissionFactorType", "lifecycle"));
    Point point;
    point.at = TRY(instant_of(row, "datetime"));
    auto value = TRY(number_of(row, "carbonIntensity"));
    if (!value) return std::nullopt;
    if (*value < 0) return fail(EBADMSG, "carbonIntensity {} at {} is below zero", *value, instant_text(point.at));
    point.grams_per_kwh = *value;
    const Json* estimated = member(row, "isEstimated");
    point.estimated = estimated != nullptr && estimated->is_boolean() && estimated->get<bool>();
    return point;
}

Result<MeasuredSteps> read_rows(const Json& rows) {
    std::vector<Point> points;
    if (rows.size() > points_max) return fail(EBADMSG, "{} values, where {} are the most", rows.size(), points_max);
    for (const Json& row : rows)
        if (auto point = TRY(read_row(row))) points.push_back(*point);
    return steps_of(std::move(points), usual_step);
}

}  // namespace

std::string latest_path(const std::string& zone) { return path("latest", zone); }
std::string history_path(const std::string& zone) { return path("history", zone); }
std::string forecast_path(const std::string& zone) { return path("forecast", zone); }

Result<MeasuredSteps> read_latest(std::string_view text, std::string_view zone) {
    Json answer = TRY(parse_json(text));
    TRY(expect_text(answer, "zone", zone));
    return read_rows(Json::array({std::move(answer)}));
}

Result<MeasuredSteps> read_history(std::string_view text, std::string_view zone) {
    Json answer = TRY(parse_json(text));
    TRY(expect_text(answer, "zone", zone));
    const Json* rows = TRY(array_of(answer, member(answer, "data") != nullptr ? "data" : "history"));
    return read_rows(*rows);
}

Result<Forecast<SignalKind::average>> read_forecast(std::string_view text, std::string_view zone, Instant now) {
    Json answer = TRY(parse_json(text));
    TRY(expect_text(answer, "zone", zone));
    Forecast<SignalKind::average> forecast{now, {}};
    if (member(answer, "updatedAt") != nullptr) forecast.issued_at = std::min(now, TRY(instant_of(answer, "updatedAt")));
    const Json* rows = TRY(array_of(answer, member(answer, "data") != nullptr ? "data" : "forecast"));
    MeasuredSteps steps = TRY(read_rows(*rows));
    forecast.series = AverageSeries(std::move(steps.series));
    return forecast;
}

}  // namespace electricity_maps

FeedResult<Report<SignalKind::average>> ElectricityMaps::fetch(const std::string& zone, Instant now) {
    using namespace electricity_maps;
    auto token = read_token_file(token_file_);
    if (!token) return misconfigured(token.error());
    HttpHeaders headers{{"auth-token", *token}};
    auto advise = [&](FeedFailure failure) {
        if (failure.problem == FeedProblem::not_allowed) failure.message += fmt::format(": not allowed (check the token in {})", token_file_);
        return failure;
    };
    Reports<SignalKind::average> reports;
    auto history = caller_.get(history_path(zone), headers, now);
    if (history) {
        reports.measured(read_history(*history, zone));
    } else if (history.error().problem == FeedProblem::not_allowed || history.error().problem == FeedProblem::not_offered) {
        auto latest = caller_.get(latest_path(zone), headers, now);
        if (!latest) return tl::unexpected(advise(latest.error()));
        reports.measured(read_latest(*latest, zone));
    } else {
        return tl::unexpected(history.error());
    }
    auto forecast = caller_.get(forecast_path(zone), headers, now);
    if (forecast)
        reports.forecast(read_forecast(*forecast, zone, now));
    else
        reports.missing(advise(forecast.error()));
    return reports.done();
}

}  // namespace hyper::carbon
