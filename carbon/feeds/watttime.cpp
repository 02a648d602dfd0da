// SPDX-License-Identifier: Apache-2.0
#include "carbon/feeds/watttime.h"

#include "carbon/feeds/json.h"
#include "carbon/feeds/points.h"
#include "carbon/feeds/token_file.h"

namespace hyper::carbon {
namespace watttime {
namespace {

constexpr Seconds usual_step = std::chrono::minutes(5);
constexpr int horizon_hours = 72;
constexpr size_t token_bytes_max = 4096;
constexpr double grams = grams_per_kwh_of_pounds_per_mwh(1);

}  // namespace

std::string forecast_path(const std::string& region, const char* signal_type) {
    return fmt::format("/v3/forecast?region={}&signal_type={}&horizon_hours={}", region, signal_type, horizon_hours);
}

std::string historical_path(const std::string& region, const char* signal_type, Instant from, Instant until) {
    return fmt::format("/v3/historical?region={}&signal_type={}&start={}&end={}", region, signal_type, instant_text(from), instant_text(until));
}

Result<std::string> read_login(std::string_view text) {
    Json answer = TRY(parse_json(text));
    std::string token = TRY(text_of(answer, "token"));
    bool good = !token.empty() && token.size() <= token_bytes_max;
    for (char c : token) good &= c > ' ' && c <= '~';
    if (!good) return fail(EBADMSG, "token: {} bytes that can be none", token.size());
    return token;
}

Result<Answer> read_answer(std::string_view text, std::string_view region, std::string_view signal_type, Instant now) {
    Json json = TRY(parse_json(text));
    const Json* meta = TRY(object_of(json, "meta"));
    TRY(expect_text(*meta, "region", region));
    TRY(expect_text(*meta, "signal_type", signal_type));
    TRY(expect_text(*meta, "units", "lbs_co2_per_mwh"));
    Answer answer;
    answer.generated_at = now;
    if (member(*meta, "generated_at") != nullptr) answer.generated_at = std::min(now, TRY(instant_of(*meta, "generated_at")));
    const Json* rows = TRY(array_of(json, "data"));
    if (rows->size() > points_max) return fail(EBADMSG, "{} values, where {} are the most", rows->size(), points_max);
    std::vector<Point> points;
    for (const Json& row : *rows) {
        Point point;
        point.at = TRY(instant_of(row, "point_time"));
        auto value = TRY(number_of(row, "value"));
        if (!value) continue;
        point.grams_per_kwh = *value * grams;
        const Json* imputed = member(row, "imputed_data_used");
        point.estimated = imputed != nullptr && imputed->is_boolean() && imputed->get<bool>();
        points.push_back(point);
    }
    answer.steps = TRY(steps_of(std::move(points), usual_step));
    return answer;
}

}  // namespace watttime

namespace {

// A token lasts 30 minutes.
constexpr Seconds token_used_for = std::chrono::minutes(25);
constexpr Seconds history = std::chrono::hours(24);

}  // namespace

template <SignalKind kind>
FeedFailure WattTime<kind>::advised(FeedFailure failure) const {
    if (failure.problem == FeedProblem::not_allowed) failure.message += fmt::format(": not allowed (check the name and password in {})", login_file_);
    return failure;
}

template <SignalKind kind>
FeedResult<void> WattTime<kind>::log_in(Instant now) {
    token_.clear();
    auto login = read_token_file(login_file_);
    if (!login) return misconfigured(login.error());
    if (login->find(':') == std::string::npos)
        return tl::unexpected<FeedFailure>({FeedProblem::misconfigured, fmt::format("token file {}: holds no USER:PASSWORD", login_file_)});
    auto text = caller_.get_as("/login", *login, now);
    if (!text) return tl::unexpected(text.error());
    auto token = watttime::read_login(*text);
    if (!token) return tl::unexpected<FeedFailure>({FeedProblem::garbage, "an answer to /login that is none: " + token.error().message});
    token_ = std::move(*token);
    token_until_ = now + token_used_for;
    return {};
}

template <SignalKind kind>
FeedResult<std::string> WattTime<kind>::get(const std::string& path, Instant now) {
    if (token_.empty() || now >= token_until_)
        if (auto in = log_in(now); !in) return tl::unexpected(in.error());
    auto text = caller_.get(path, {{"Authorization", "Bearer " + token_}}, now);
    // A token may end before its time: the next poll logs in again.
    if (!text && text.error().message.starts_with("401")) token_.clear();
    return text;
}

template <SignalKind kind>
FeedResult<Report<kind>> WattTime<kind>::fetch(const std::string& zone, Instant now) {
    using namespace watttime;
    auto found = regions_.find(zone);
    if (found == regions_.end()) return tl::unexpected<FeedFailure>({FeedProblem::not_offered, fmt::format("no region is configured for {}", zone)});
    const std::string& region = found->second;
    Reports<kind> reports;
    auto forecast = get(forecast_path(region, signal_of<kind>), now);
    if (!forecast && is_of_the_service(forecast.error().problem)) return tl::unexpected(forecast.error());
    if (forecast) {
        auto answer = read_answer(*forecast, region, signal_of<kind>, now);
        if (answer) reports.forecast(Forecast<kind>{answer->generated_at, IntensitySeries<kind>(std::move(answer->steps.series))});
        else reports.forecast(tl::unexpected(answer.error()));
    } else {
        reports.missing(advised(forecast.error()));
    }
    auto historical = get(historical_path(region, signal_of<kind>, now - history, now), now);
    if (historical) {
        auto answer = read_answer(*historical, region, signal_of<kind>, now);
        if (answer) reports.measured(std::move(answer->steps));
        else reports.measured(tl::unexpected(answer.error()));
    } else {
        reports.missing(advised(historical.error()));
    }
    return reports.done();
}

template class WattTime<SignalKind::average>;
template class WattTime<SignalKind::marginal>;

}  // namespace hyper::carbon
