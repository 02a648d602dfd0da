// SPDX-License-Identifier: Apache-2.0
#include "carbon/feeds/energy_charts.h"

#include "carbon/feeds/json.h"
#include "carbon/feeds/points.h"

namespace hyper::carbon {
namespace energy_charts {
namespace {

constexpr Seconds usual_step = std::chrono::hours(1);

Result<std::vector<Instant>> read_times(const Json& column) {
    std::vector<Instant> times;
    for (const Json& value : column) {
        if (!value.is_number_integer()) return fail(EBADMSG, "unix_seconds: {} where a whole number belongs", value.type_name());
        auto seconds = value.get<int64_t>();
        // Of the years 2000 to 2100, so that sums of times do not overflow.
        if (seconds < 946'684'800 || seconds > 4'102'444'800) return fail(EBADMSG, "unix_seconds: {} is no time of this century", seconds);
        times.emplace_back(Seconds(seconds));
    }
    return times;
}

Result<MeasuredSteps> read_column(const Json& json, const char* name, const std::vector<Instant>& times) {
    const Json* column = member(json, name);
    if (column == nullptr) return MeasuredSteps{};
    if (!column->is_array() || column->size() != times.size())
        return fail(EBADMSG, "{} is no list of as many values as unix_seconds ({})", name, times.size());
    std::vector<Point> points;
    for (size_t i = 0; i < times.size(); i++) {
        const Json& value = (*column)[i];
        if (value.is_null()) continue;
        if (!value.is_number() || value.get<double>() < 0) return fail(EBADMSG, "{} at {} is no intensity", name, instant_text(times[i]));
        points.push_back({times[i], value.get<double>(), false});
    }
    return steps_of(std::move(points), usual_step);
}

}  // namespace

std::string path(const std::string& zone) {
    std::string country = zone;
    for (char& c : country)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return "/co2eq?country=" + country;
}

Result<Answer> read_answer(std::string_view text) {
    Json json = TRY(parse_json(text));
    const Json* column = TRY(array_of(json, "unix_seconds"));
    if (column->size() > points_max) return fail(EBADMSG, "{} values, where {} are the most", column->size(), points_max);
    std::vector<Instant> times = TRY(read_times(*column));
    Answer answer;
    answer.measured = TRY(read_column(json, "co2eq", times));
    answer.forecast = TRY(read_column(json, "co2eq_forecast", times));
    return answer;
}

}  // namespace energy_charts

bool EnergyCharts::offers(const std::string& zone) const {
    static constexpr std::string_view countries =
        " AL AM AT AZ BA BE BG BY CH CY CZ DE DK EE ES FI FR GE GR HR HU IE IT LT LU LV MD ME MK MT NL NO PL PT RO RS SE SI SK UA XK ";
    return zone.size() == 2 && countries.find(" " + zone + " ") != countries.npos;
}

FeedResult<Report<SignalKind::average>> EnergyCharts::fetch(const std::string& zone, Instant now) {
    auto text = caller_.get(energy_charts::path(zone), {}, now);
    if (!text) return tl::unexpected(text.error());
    auto answer = energy_charts::read_answer(*text);
    if (!answer) return tl::unexpected<FeedFailure>({FeedProblem::garbage, "an answer that is none: " + answer.error().message});
    Reports<SignalKind::average> reports;
    reports.measured(std::move(answer->measured));
    reports.forecast(Forecast<SignalKind::average>{now, AverageSeries(std::move(answer->forecast.series))});
    return reports.done();
}

}  // namespace hyper::carbon
