// SPDX-License-Identifier: Apache-2.0
// A feed as a configuration names it.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "carbon/feeds/caller.h"

namespace hyper::carbon {

struct FeedSettings {
    std::string name{};        // stands in words and in names of files; empty: the service's
    std::string service{};     // electricitymaps, watttime, watttime-average, gb-carbon-intensity or energy-charts
    std::string base_url{};    // without a slash at its end; empty: the service's own
    std::string token_file{};  // for the first three
    uint32_t calls_per_minute = 0, calls_per_month = 0;  // 0: no limit of our own
    std::map<std::string, std::string> regions{};        // WattTime's, by zone
};

// One of the two: a service tells one kind of intensity.
struct MadeFeed {
    std::unique_ptr<Feed<SignalKind::average>> average;
    std::unique_ptr<Feed<SignalKind::marginal>> marginal;
};

// EINVAL that names the field: for a name that no file can have, an unknown service, a URL that would show a token to others, a token file that is
// missing or not wanted, WattTime without regions. Looks at no file. Calls are counted in FOLDER/NAME.calls.
Result<MadeFeed> make_feed(const FeedSettings& settings, const std::string& folder, AskHttp ask);

}  // namespace hyper::carbon
