// SPDX-License-Identifier: Apache-2.0
#include "carbon/outlook.h"

#include <cmath>
#include <limits>

#include "carbon/profile.h"

namespace hyper::carbon {
namespace {

// An issue reaches four days at most (Electricity Maps: 72 h, CarbonCast: 96 h), and feeds may issue every five minutes.
constexpr size_t issues_kept = 8;
constexpr Seconds issues_apart = std::chrono::hours(6);

}  // namespace

const char* outlook_source_text(OutlookSource source) {
    switch (source) {
        case OutlookSource::forecast:
            return "forecast";
        case OutlookSource::older_forecast:
            return "older forecast";
        case OutlookSource::profile:
            return "hour-of-week profile";
        case OutlookSource::unknown:
            return "unknown";
    }
    return "";
}

void OutlookMaker::add_issue(Instant issued_at, const StepSeries& series, const StepSeries& measured) {
    if (series.empty()) return;
    StepSeries used = corrected_ ? correction_.correct(issued_at, series, measured) : series;
    // The newest of those that lie closely together stands for them.
    if (issues_.size() >= 2 && issues_[0].issued_at - issues_[1].issued_at < issues_apart) issues_.pop_front();
    issues_.push_front({issued_at, std::move(used)});
    if (issues_.size() > issues_kept) issues_.pop_back();
}

Outlook OutlookMaker::make(Instant now, Instant until, const StepSeries& measured, Seconds fresh) const {
    using namespace std::chrono;
    Seconds step = issues_.empty() ? Seconds(3600) : issues_.front().series.step();
    Instant start = issues_.empty() ? Instant(floor<hours>(now)) : issues_.front().series.start();
    start += step * ((now - start) / step);
    if (start > now) start -= step;
    auto count = start < until ? static_cast<size_t>((until - start + step - Seconds(1)) / step) : 0;
    Outlook outlook{{}, std::vector(count, OutlookSource::unknown)};
    std::vector<double> values(count, std::numeric_limits<double>::quiet_NaN());

    HourProfile profile = HourProfile::learn(measured, now);
    StepSeries usual = profile.predict(start, start + step * count);
    double difference = 0;
    size_t forecast_steps = 0;
    for (size_t i = 0; i < count; i++) {
        Instant from = start + step * i, to = from + step;
        for (const Issue& issue : issues_) {
            auto value = issue.series.mean_of_known(from, to, 0.5);
            if (!value) continue;
            values[i] = *value;
            bool is_fresh = &issue == &issues_.front() && now - issue.issued_at < fresh;
            outlook.sources[i] = is_fresh ? OutlookSource::forecast : OutlookSource::older_forecast;
            if (auto of_profile = usual.mean(from, to)) difference += *value - *of_profile, forecast_steps++;
            break;
        }
    }
    double shift = forecast_steps > 0 ? difference / double(forecast_steps) : 0;
    for (size_t i = 0; i < count; i++) {
        if (outlook.sources[i] != OutlookSource::unknown) continue;
        auto value = usual.mean(start + step * i, start + step * (i + 1));
        if (!value) continue;
        values[i] = *value + shift;
        outlook.sources[i] = OutlookSource::profile;
    }
    outlook.series = StepSeries(start, step, std::move(values));
    return outlook;
}

}  // namespace hyper::carbon
