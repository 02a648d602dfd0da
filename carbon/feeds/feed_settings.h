// SPDX-License-Identifier: Apache-2.0
// A feed as a configuration names it.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "carbon/feeds/caller.h"
#include "carbon/feeds/feed_store.h"

namespace hyper::carbon {

struct FeedSettings {
    std::string service{};     // electricitymaps, watttime, watttime-average, gb-carbon-intensity or energy-charts
    std::string url{};         // empty: the service's own
    std::string token_file{};  // for the first three
    uint32_t calls_per_minute = 0, calls_per_month = 0;  // 0: no limit of our own
    std::map<std::string, std::string> regions{};        // WattTime's, by zone
};

// One of the two: a service tells one kind of intensity.
struct MadeFeed {
    std::unique_ptr<Feed<SignalKind::average>> average;
    std::unique_ptr<Feed<SignalKind::marginal>> marginal;
};

// EINVAL that names the field: for an unknown service, a token file that is missing or not wanted, WattTime without regions. Looks at no file.
Result<MadeFeed> make_feed(const FeedSettings& settings, const FeedStore& store, AskHttp ask);

}  // namespace hyper::carbon
