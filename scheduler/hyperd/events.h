// SPDX-License-Identifier: Apache-2.0
// Events as the daemon makes them.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "scheduler/state/ledger.h"

namespace hyper::hyperd {

using Json = nlohmann::ordered_json;

inline scheduler::Event event(Instant at, const std::string& kind, const std::string& job, const Json& body) {
    return {0, at, kind, job, body.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

// "run.*" is every kind that begins so; no pattern at all is every kind.
inline bool wants(const std::vector<std::string>& patterns, const std::string& kind) {
    return patterns.empty() || std::ranges::any_of(patterns, [&](const std::string& pattern) {
               return pattern.ends_with('*') ? kind.starts_with(pattern.substr(0, pattern.size() - 1)) : kind == pattern;
           });
}

}  // namespace hyper::hyperd
