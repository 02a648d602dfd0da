// SPDX-License-Identifier: Apache-2.0
// The Carbon Intensity API of Great Britain's system operator: direct emissions, half-hours, no token. Forecasts are overwritten there and say
// nothing of when they were made: what is asked for now counts as issued now. Data: CC BY 4.0.
#pragma once

#include "carbon/feeds/caller.h"

namespace hyper::carbon {

namespace gb_carbon_intensity {

std::string ahead_path(Instant now);  // the next 48 hours
std::string past_path(Instant now);   // the last 24 hours

struct Answer {
    MeasuredSteps measured, forecast;
};
// Of the whole country, not of a region.
Result<Answer> read_answer(std::string_view text);

}  // namespace gb_carbon_intensity

class GbCarbonIntensity : public Feed<SignalKind::average> {
  public:
    static constexpr const char* usual_url = "https://api.carbonintensity.org.uk";

    explicit GbCarbonIntensity(Caller caller) : caller_(std::move(caller)) {}

    static FeedAbout usual_about() { return {"gb-carbon-intensity", "direct", std::chrono::minutes(30)}; }
    const FeedAbout& about() const override { return caller_.about(); }
    bool offers(const std::string& zone) const override { return zone == "GB"; }
    FeedResult<Report<SignalKind::average>> fetch(const std::string& zone, Instant now) override;

  private:
    Caller caller_;
};

}  // namespace hyper::carbon
