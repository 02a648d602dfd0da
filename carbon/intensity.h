// SPDX-License-Identifier: Apache-2.0
// Carbon intensity of electricity in grams of CO2 equivalent per kWh. Average and marginal intensity answer different
// questions and may disagree in sign, so they are different types: no function takes both, and none converts.
#pragma once

#include "carbon/step_series.h"

namespace hyper::carbon {

// average: of all that is generated, for accounting. marginal: of what answers one more kWh, for "what did it change".
enum class SignalKind { average, marginal };

constexpr const char* signal_name(SignalKind kind) {
    return kind == SignalKind::average ? "average" : "marginal";
}

template <SignalKind kind>
struct Intensity {
    double grams_per_kwh = 0;
};

// A StepSeries in g/kWh that knows which of the two it is.
template <SignalKind kind>
class IntensitySeries : public StepSeries {
  public:
    IntensitySeries() = default;
    explicit IntensitySeries(StepSeries grams_per_kwh) : StepSeries(std::move(grams_per_kwh)) {}
};

// What a feed said would come. Its first value may lie before or after its issue.
template <SignalKind kind>
struct Forecast {
    Instant issued_at{};
    IntensitySeries<kind> series;
};

using AverageIntensity = Intensity<SignalKind::average>;
using MarginalIntensity = Intensity<SignalKind::marginal>;
using AverageSeries = IntensitySeries<SignalKind::average>;
using MarginalSeries = IntensitySeries<SignalKind::marginal>;

// WattTime's unit: pounds per MWh. 1 lb = 453.59237 g exactly (NIST Handbook 44, appendix C).
constexpr double grams_per_kwh_of_pounds_per_mwh(double pounds_per_mwh) {
    return pounds_per_mwh * 0.45359237;
}

}  // namespace hyper::carbon
