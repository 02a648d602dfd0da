// SPDX-License-Identifier: Apache-2.0
#include "carbon/feeds/feed_settings.h"

#include <cerrno>

#include "carbon/feeds/electricity_maps.h"
#include "carbon/feeds/energy_charts.h"
#include "carbon/feeds/feed_store.h"
#include "carbon/feeds/gb_carbon_intensity.h"
#include "carbon/feeds/watttime.h"

namespace hyper::carbon {
namespace {

Result<void> check(const FeedSettings& settings) {
    const std::string& service = settings.service;
    if (!settings.name.empty() && !is_store_name(settings.name))
        return fail(EINVAL, "name: \"{}\" is none for a feed: 1 to 64 letters, digits, - and _", settings.name.substr(0, 64));
    bool watttime = service == "watttime" || service == "watttime-average";
    bool open = service == "gb-carbon-intensity" || service == "energy-charts";
    if (!watttime && !open && service != "electricitymaps")
        return fail(EINVAL, "service \"{}\" is none of electricitymaps, watttime, watttime-average, gb-carbon-intensity and energy-charts",
                    service.substr(0, 64));
    if (!settings.base_url.empty() && (!keeps_secrets(settings.base_url) || settings.base_url.ends_with('/')))
        return fail(EINVAL, "base_url: has to be https://HOST/PATH, without a password in it and without a slash at its end");
    if (open && !settings.token_file.empty()) return fail(EINVAL, "token_file: {} wants none", service);
    if (!open && settings.token_file.empty()) return fail(EINVAL, "token_file: {} wants one", service);
    if (watttime && settings.regions.empty())
        return fail(EINVAL, "regions: {} wants its region of each zone (US-CAL-CISO = \"CAISO_NORTH\")", service);
    if (!watttime && !settings.regions.empty()) return fail(EINVAL, "regions: {} wants none", service);
    return {};
}

}  // namespace

Result<MadeFeed> make_feed(const FeedSettings& settings, const std::string& folder, AskHttp ask) {
    TRY(check(settings));
    const std::string& service = settings.service;
    const std::string name = settings.name.empty() ? service : settings.name;
    auto limit = std::make_shared<CallLimit>(settings.calls_per_minute, settings.calls_per_month, folder + "/" + name + ".calls");
    auto caller = [&](FeedAbout about, const char* usual_url) {
        about.name = name;
        return Caller(std::move(about), settings.base_url.empty() ? usual_url : settings.base_url, std::move(ask), std::move(limit));
    };
    MadeFeed made;
    if (service == "electricitymaps")
        made.average = std::make_unique<ElectricityMaps>(caller(ElectricityMaps::usual_about(), ElectricityMaps::usual_url), settings.token_file);
    else if (service == "gb-carbon-intensity")
        made.average = std::make_unique<GbCarbonIntensity>(caller(GbCarbonIntensity::usual_about(), GbCarbonIntensity::usual_url));
    else if (service == "energy-charts")
        made.average = std::make_unique<EnergyCharts>(caller(EnergyCharts::usual_about(), EnergyCharts::usual_url));
    else if (service == "watttime-average")
        made.average = std::make_unique<WattTime<SignalKind::average>>(
            caller(WattTime<SignalKind::average>::usual_about(), WattTime<SignalKind::average>::usual_url), settings.token_file, settings.regions);
    else
        made.marginal = std::make_unique<WattTime<SignalKind::marginal>>(
            caller(WattTime<SignalKind::marginal>::usual_about(), WattTime<SignalKind::marginal>::usual_url), settings.token_file, settings.regions);
    return made;
}

}  // namespace hyper::carbon
