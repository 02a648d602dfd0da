// SPDX-License-Identifier: Apache-2.0
#include "carbon/status.h"

#include <cmath>

namespace hyper::carbon {

const char* status_name(double grams_per_kwh) {
    if (grams_per_kwh < 100) return "excellent";
    if (grams_per_kwh < 200) return "good";
    if (grams_per_kwh < 400) return "moderate";
    if (grams_per_kwh < 600) return "poor";
    return "very poor";
}

std::optional<double> rank_in_last_month(double grams_per_kwh, const StepSeries& history, Instant now) {
    using std::chrono::days;
    double below = 0;
    int64_t known = 0;
    for (size_t i = 0; i < history.size(); i++) {
        Instant at = history.time_of(i);
        double value = history.values()[i];
        if (at < now - days(30) || at >= now || std::isnan(value)) continue;
        known++;
        below += value < grams_per_kwh ? 1 : value == grams_per_kwh ? 0.5 : 0;
    }
    if (history.step() * known < days(7)) return std::nullopt;
    return below / double(known);
}

}  // namespace hyper::carbon
