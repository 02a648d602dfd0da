// SPDX-License-Identifier: Apache-2.0
// WattTime, version 3: in pounds per MWh, converted here. Its marginal signal (co2_moer) and its average one (co2_aoer) are two feeds, of two types.
// A name and a password give a token for 30 minutes, which is renewed before.
#pragma once

#include <map>

#include "carbon/feeds/caller.h"

namespace hyper::carbon {

namespace watttime {

template <SignalKind kind>
constexpr const char* signal_of = kind == SignalKind::marginal ? "co2_moer" : "co2_aoer";

std::string forecast_path(const std::string& region, const char* signal_type);
std::string historical_path(const std::string& region, const char* signal_type, Instant from, Instant until);

// What comes from /login.
Result<std::string> read_login(std::string_view text);

struct Answer {
    Instant generated_at{};  // `now` where it is not told, or later
    MeasuredSteps steps;
};
// A forecast or historical values. EBADMSG for another region, signal or unit.
Result<Answer> read_answer(std::string_view text, std::string_view region, std::string_view signal_type, Instant now);

}  // namespace watttime

template <SignalKind kind>
class WattTime : public Feed<kind> {
  public:
    static constexpr const char* usual_url = "https://api.watttime.org";

    // `login_file` holds USER:PASSWORD. `regions`: WattTime's region of each zone.
    WattTime(Caller caller, std::string login_file, std::map<std::string, std::string> regions)
        : caller_(std::move(caller)), login_file_(std::move(login_file)), regions_(std::move(regions)) {}

    static FeedAbout usual_about() {
        return {kind == SignalKind::marginal ? "watttime" : "watttime-average", "CO2", std::chrono::minutes(5)};
    }
    const FeedAbout& about() const override { return caller_.about(); }
    bool offers(const std::string& zone) const override { return regions_.contains(zone); }
    FeedResult<Report<kind>> fetch(const std::string& zone, Instant now) override;

  private:
    FeedResult<void> log_in(Instant now);
    FeedResult<std::string> get(const std::string& path, Instant now);
    FeedFailure advised(FeedFailure failure) const;

    Caller caller_;
    const std::string login_file_;
    const std::map<std::string, std::string> regions_;
    std::string token_;
    Instant token_until_{};
};

}  // namespace hyper::carbon
