// SPDX-License-Identifier: Apache-2.0
#include "carbon/feeds/gb_carbon_intensity.h"

#include "carbon/feeds/json.h"
#include "carbon/feeds/points.h"

namespace hyper::carbon {
namespace gb_carbon_intensity {
namespace {

constexpr Seconds usual_step = std::chrono::minutes(30);

std::string path(Instant now, const char* which) {
    Instant half_hour{now.time_since_epoch() / usual_step * usual_step};
    return fmt::format("/intensity/{}Z/{}", instant_text(half_hour).substr(0, 16), which);
}

Result<void> add_point(std::vector<Point>& points, const Json& intensity, const char* name, Instant at) {
    auto value = TRY(number_of(intensity, name));
    if (!value) return {};
    if (*value < 0) return fail(EBADMSG, "{} {} at {} is below zero", name, *value, instant_text(at));
    points.push_back({at, *value, false});
    return {};
}

}  // namespace

std::string ahead_path(Instant now) { return path(now, "fw48h"); }
std::string past_path(Instant now) { return path(now, "pt24h"); }

Result<Answer> read_answer(std::string_view text) {
    Json json = TRY(parse_json(text));
    const Json* rows = TRY(array_of(json, "data"));
    if (rows->size() > points_max) return fail(EBADMSG, "{} values, where {} are the most", rows->size(), points_max);
    std::vector<Point> measured, forecast;
    for (const Json& row : *rows) {
        Instant at = TRY(instant_of(row, "from"));
        if (TRY(instant_of(row, "to")) - at != usual_step) return fail(EBADMSG, "the step at {} is no half-hour", instant_text(at));
        const Json* intensity = TRY(object_of(row, "intensity"));
        TRY(add_point(measured, *intensity, "actual", at));
        TRY(add_point(forecast, *intensity, "forecast", at));
    }
    Answer answer;
    answer.measured = TRY(steps_of(std::move(measured), usual_step));
    answer.forecast = TRY(steps_of(std::move(forecast), usual_step));
    return answer;
}

}  // namespace gb_carbon_intensity

FeedResult<Report<SignalKind::average>> GbCarbonIntensity::fetch(const std::string&, Instant now) {
    using namespace gb_carbon_intensity;
    Reports<SignalKind::average> reports;
    auto ahead = caller_.get(ahead_path(now), {}, now);
    if (!ahead) return tl::unexpected(ahead.error());
    auto read_ahead = read_answer(*ahead);
    if (read_ahead) reports.forecast(Forecast<SignalKind::average>{now, AverageSeries(std::move(read_ahead->forecast.series))});
    else reports.forecast(tl::unexpected(read_ahead.error()));
    auto past = caller_.get(past_path(now), {}, now);
    if (!past) {
        reports.missing(past.error());
    } else {
        auto read_past = read_answer(*past);
        if (read_past) reports.measured(std::move(read_past->measured));
        else reports.measured(tl::unexpected(read_past.error()));
    }
    return reports.done();
}

}  // namespace hyper::carbon
