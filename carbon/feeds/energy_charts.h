// SPDX-License-Identifier: Apache-2.0
// Energy-Charts (Fraunhofer ISE): the average intensity of a country in Europe, without a token. One answer holds the day's values and the
// forecast to the end of the next day, and says nothing of when it was made: what is asked for now counts as issued now.
#pragma once

#include "carbon/feeds/caller.h"

namespace hyper::carbon {

namespace energy_charts {

std::string path(const std::string& zone);

struct Answer {
    MeasuredSteps measured, forecast;
};
// Columns of equal length; either may be null, and so may each value. An answer does not name its country.
Result<Answer> read_answer(std::string_view text);

}  // namespace energy_charts

class EnergyCharts : public Feed<SignalKind::average> {
  public:
    static constexpr const char* usual_url = "https://api.energy-charts.info";

    explicit EnergyCharts(Caller caller) : caller_(std::move(caller)) {}

    static FeedAbout usual_about() { return {"energy-charts", "CO2 equivalent", std::chrono::hours(1)}; }
    const FeedAbout& about() const override { return caller_.about(); }
    // Countries, by their two letters: a zone that is a part of one has no data of its own there.
    bool offers(const std::string& zone) const override;
    FeedResult<Report<SignalKind::average>> fetch(const std::string& zone, Instant now) override;

  private:
    Caller caller_;
};

}  // namespace hyper::carbon
