// SPDX-License-Identifier: Apache-2.0
#include "carbon/correction.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "carbon/profile.h"

namespace hyper::carbon {
namespace {

using namespace std::chrono;

constexpr double error_halving_days = 42;
constexpr double other_kind_of_day = 0.5;
constexpr double bias_prior = 2;      // worth so many errors of 0
constexpr double damping_prior = 10;  // worth so many lead days that came true
constexpr double neighbour_share = 0.1;
constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

double measured_at(const StepSeries& measured, Instant hour, Instant now) {
    if (hour + hours(1) > now) return unknown;
    return measured.mean_of_known(hour, hour + hours(1), 0.5).value_or(unknown);
}

bool is_weekend(Instant instant) {
    return weekday(floor<days>(instant)).iso_encoding() >= 6;
}

// Each value with `share` of each of its neighbours instead of as much of its own.
std::vector<double> smoothed(const std::vector<double>& values, double share) {
    std::vector<double> result = values;
    for (size_t i = 1; i + 1 < values.size(); i++) {
        double value = (1 - 2 * share) * values[i] + share * (values[i - 1] + values[i + 1]);
        if (!std::isnan(value)) result[i] = value;
    }
    return result;
}

}  // namespace

std::vector<double> ForecastCorrection::biases(const Issue& issue, const StepSeries& measured) const {
    std::vector<double> bias(issue.raw.size(), 0);
    for (size_t lead = 0; lead < bias.size(); lead++) {
        bool weekend = is_weekend(issue.first_hour + hours(lead));
        double sum = 0, weight = bias_prior;
        for (const Issue& past : issues_) {
            if (lead >= past.raw.size()) continue;
            Instant hour = past.first_hour + hours(lead);
            double error = measured_at(measured, hour, issue.issued_at) - past.raw[lead];
            if (std::isnan(error)) continue;
            double counts = std::exp2(-double((issue.issued_at - hour).count()) / 86400 / error_halving_days);
            if (is_weekend(hour) != weekend) counts *= other_kind_of_day;
            sum += counts * error, weight += counts;
        }
        bias[lead] = sum / weight;
    }
    return smoothed(bias, 1.0 / 3);
}

double ForecastCorrection::kept_share(size_t lead_day, Instant now, const StepSeries& measured) const {
    double product = 0, square = 0;
    size_t count = 0;
    for (const Issue& past : issues_)
        for (size_t lead = lead_day * 24; lead < std::min(past.raw.size(), lead_day * 24 + 24); lead++) {
            double came = measured_at(measured, past.first_hour + hours(lead), now) - past.usual[lead];
            double promised = past.unbiased[lead] - past.usual[lead];
            if (std::isnan(came) || std::isnan(promised)) continue;
            product += promised * came, square += promised * promised, count++;
        }
    if (count == 0 || square == 0) return 1;
    double prior = damping_prior * 24 * square / double(count);
    return std::clamp((product + prior) / (square + prior), 0.0, 1.5);
}

StepSeries ForecastCorrection::correct(Instant issued_at, const StepSeries& series, const StepSeries& measured) {
    if (series.empty()) return {};
    Issue issue;
    issue.issued_at = issued_at;
    issue.first_hour = ceil<hours>(std::max(issued_at, series.start()));
    for (Instant hour = issue.first_hour; hour < series.end() && issue.raw.size() < lead_hours_max; hour += hours(1))
        issue.raw.push_back(series.mean_of_known(hour, hour + hours(1), 0.5).value_or(unknown));
    size_t leads = issue.raw.size();
    issue.usual = HourProfile::learn(measured, issued_at).predict(issue.first_hour, issue.first_hour + hours(leads)).values();
    issue.usual.resize(leads, unknown);
    std::vector<double> bias = biases(issue, measured), departure(leads);
    for (size_t lead = 0; lead < leads; lead++) departure[lead] = issue.raw[lead] + bias[lead] - issue.usual[lead];
    departure = smoothed(departure, neighbour_share);

    issue.unbiased.resize(leads);
    std::vector<double> shift(leads);  // from what the feed said
    double share = 1;
    for (size_t lead = 0; lead < leads; lead++) {
        if (lead % 24 == 0) share = kept_share(lead / 24, issued_at, measured);
        issue.unbiased[lead] = issue.usual[lead] + departure[lead];
        double corrected = issue.usual[lead] + share * departure[lead];
        shift[lead] = std::isnan(corrected) ? bias[lead] : corrected - issue.raw[lead];
        if (std::isnan(shift[lead])) shift[lead] = 0;
    }
    std::vector<double> values = series.values();
    for (size_t i = 0; i < values.size(); i++) {
        auto lead = floor<hours>(series.time_of(i) - issue.first_hour).count();
        if (lead < 0 || static_cast<size_t>(lead) >= leads || std::isnan(values[i])) continue;
        // Below zero only where the feed itself is: a marginal intensity may be.
        values[i] = std::max(std::min(0.0, values[i]), values[i] + shift[static_cast<size_t>(lead)]);
    }
    // A refetch of nearly the same hour teaches nothing new.
    if (issues_.empty() || issued_at - issues_.back().issued_at >= issues_apart) issues_.push_back(std::move(issue));
    if (issues_.size() > issues_max) issues_.pop_front();
    return StepSeries(series.start(), series.step(), std::move(values));
}

}  // namespace hyper::carbon
