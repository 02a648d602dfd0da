// SPDX-License-Identifier: Apache-2.0
#include "carbon/profile.h"

#include <algorithm>
#include <cmath>

namespace hyper::carbon {
namespace {

using namespace std::chrono;

constexpr int days_learned = 28;
constexpr double halving_days = 7;
constexpr double other_kind_of_day = 0.5;

// 0 is Monday.
unsigned weekday_of(sys_days day) {
    return weekday(day).iso_encoding() - 1;
}
bool is_weekend(unsigned day) {
    return day >= 5;
}

// Where what was measured before `now` ends: a feed that has been down for a month has still taught something.
Instant end_of_known(const StepSeries& history, Instant now) {
    auto count = now <= history.start() ? 0 : std::min(history.size(), static_cast<size_t>((now - history.start()) / history.step()));
    while (count > 0 && std::isnan(history.values()[count - 1])) count--;
    return history.time_of(count);
}

}  // namespace

HourProfile HourProfile::learn(const StepSeries& history, Instant now) {
    HourProfile profile;
    struct Mean {
        double sum = 0, weight = 0;
    };
    Mean all;
    std::array<std::array<Mean, 2>, 24> of_day{};  // by whether the day counts as weekend
    Instant end = end_of_known(history, now);
    Instant first = std::max(ceil<hours>(end - days(days_learned)), floor<hours>(history.start()));
    for (Instant at = first; at + hours(1) <= end; at += hours(1)) {
        auto value = history.mean_of_known(at, at + hours(1), 0.5);
        if (!value) continue;
        bool weekend = is_weekend(weekday_of(floor<days>(at)));
        double weight = std::exp2(-double((end - at).count()) / 86400 / halving_days);
        auto hour = static_cast<size_t>((at - floor<days>(at)) / hours(1));
        for (bool target : {false, true}) {
            double counts = target == weekend ? weight : weight * other_kind_of_day;
            of_day[hour][target].sum += counts * *value;
            of_day[hour][target].weight += counts;
        }
        all.sum += weight * *value, all.weight += weight;
    }
    if (all.weight == 0) return profile;
    profile.empty_ = false;
    for (unsigned day = 0; day < 7; day++)
        for (size_t hour = 0; hour < 24; hour++) {
            const Mean& mean = of_day[hour][is_weekend(day)];
            profile.of_week_[day * 24 + hour] = mean.weight > 0 ? mean.sum / mean.weight : all.sum / all.weight;
        }
    return profile;
}

StepSeries HourProfile::predict(Instant from, Instant until) const {
    if (empty_) return {};
    std::vector<double> values;
    Instant start = floor<hours>(from);
    for (Instant at = start; at < until; at += hours(1)) {
        auto day = floor<days>(at);
        values.push_back(of_week_[weekday_of(day) * 24 + static_cast<size_t>((at - day) / hours(1))]);
    }
    return StepSeries(start, hours(1), std::move(values));
}

}  // namespace hyper::carbon
