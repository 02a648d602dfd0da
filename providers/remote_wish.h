// SPDX-License-Identifier: Apache-2.0
// How a disk of a provider is to be opened.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace hyper {

using ProviderOptions = std::vector<std::pair<std::string, std::string>>;

struct RemoteWish {
    ProviderOptions options;  // besides those of Registry::settings_of()
    bool track = false;      // a later state will be compared with this one
    std::string since;       // the change id to be compared with; empty: none
};

}  // namespace hyper
