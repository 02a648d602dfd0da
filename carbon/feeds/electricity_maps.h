// SPDX-License-Identifier: Apache-2.0
// Electricity Maps, version 3: life-cycle average intensity, traced over borders. Wants a token; what it may ask for depends on the plan, so where
// the last day is refused the latest value is asked for, and where a forecast is refused there is none.
#pragma once

#include "carbon/feeds/caller.h"

namespace hyper::carbon {

namespace electricity_maps {

std::string latest_path(const std::string& zone);
std::string history_path(const std::string& zone);
std::string forecast_path(const std::string& zone);

// Pure; EBADMSG for what is not the answer to that question about that zone.
Result<MeasuredSteps> read_latest(std::string_view text, std::string_view zone);
Result<MeasuredSteps> read_history(std::string_view text, std::string_view zone);
// An issue time that the answer does not tell is `now`.
Result<Forecast<SignalKind::average>> read_forecast(std::string_view text, std::string_view zone, Instant now);

}  // namespace electricity_maps

class ElectricityMaps : public Feed<SignalKind::average> {
  public:
    static constexpr const char* usual_url = "https://api.electricitymaps.com/v3";

    // `token_file` holds the token and nothing else.
    ElectricityMaps(Caller caller, std::string token_file) : caller_(std::move(caller)), token_file_(std::move(token_file)) {}

    static FeedAbout usual_about() { return {"electricitymaps", "life-cycle", std::chrono::hours(1)}; }
    const FeedAbout& about() const override { return caller_.about(); }
    bool offers(const std::string&) const override { return true; }
    FeedResult<Report<SignalKind::average>> fetch(const std::string& zone, Instant now) override;

  private:
    Caller caller_;
    const std::string token_file_;
};

}  // namespace hyper::carbon
