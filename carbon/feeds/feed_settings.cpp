// SPDX-License-Identifier: Apache-2.0
#include "carbon/feeds/feed_settings.h"

#include <cerrno>

#include "carbon/feeds/electricity_maps.h"
#include "carbon/feeds/energy_charts.h"
#include "carbon/feeds/gb_carbon_intensity.h"
#include "carbon/feeds/watttime.h"

namespace hyper::carbon {
namespace {

Result<void> check(const FeedSettings& settings) {
    const std::string& service = settings.service;
    bool watttime = service == "watttime" || service == "watttime-average";
    bool open = service == "gb-carbon-intensity" || service == "energy-charts";
    if (!watttime && !open && service != "electricitymaps")
        return fail(EINVAL, "service \"{}\" is none of electricitymaps, watttime, watttime-average, gb-carbon-intensity and energy-charts",
                    service.substr(0, 64));
    if (open && !settings.token_file.empty()) return fail(EINVAL, "token_file: {} wants none", service);
    if (!open && settings.token_file.empty()) return fail(EINVAL, "token_file: {} wants one", service);
    if (watttime && settings.regions.empty())
        return fail(EINVAL, "regions: {} wants its region of each zone (US-CAL-CISO = \"CAISO_NORTH\")", service);
    if (!watttime && !settings.regions.empty()) return fail(EINVAL, "regions: {} wants none", service);
    return {};
}

}  // namespace

Result<MadeFeed> make_feed(const FeedSettings& settings, const FeedStore& store, AskHttp ask) {
    TRY(check(settings));
    auto limit = std::make_shared<CallLimit>(settings.calls_per_minute, settings.calls_per_month, store.calls_file(settings.service));
    auto caller = [&](FeedAbout about, const char* usual_url) {
        return Caller(std::move(about), settings.url.empty() ? usual_url : settings.url, std::move(ask), std::move(limit));
    };
    MadeFeed made;
    if (settings.service == "electricitymaps")
        made.average = std::make_unique<ElectricityMaps>(caller(ElectricityMaps::usual_about(), ElectricityMaps::usual_url), settings.token_file);
    else if (settings.service == "gb-carbon-intensity")
        made.average = std::make_unique<GbCarbonIntensity>(caller(GbCarbonIntensity::usual_about(), GbCarbonIntensity::usual_url));
    else if (settings.service == "energy-charts")
        made.average = std::make_unique<EnergyCharts>(caller(EnergyCharts::usual_about(), EnergyCharts::usual_url));
    else if (settings.service == "watttime-average")
        made.average = std::make_unique<WattTime<SignalKind::average>>(
            caller(WattTime<SignalKind::average>::usual_about(), WattTime<SignalKind::average>::usual_url), settings.token_file, settings.regions);
    else
        made.marginal = std::make_unique<WattTime<SignalKind::marginal>>(
            caller(WattTime<SignalKind::marginal>::usual_about(), WattTime<SignalKind::marginal>::usual_url), settings.token_file, settings.regions);
    return made;
}

}  // namespace hyper::carbon
