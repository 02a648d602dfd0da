// SPDX-License-Identifier: Apache-2.0
// Where hyperd keeps things and listens, for it and for those who ask it.
#pragma once

#include <cstdlib>
#include <string>

namespace hyper::hyperd {

// That of --root, else of $HYPER_ROOT, else empty: the system's own folders.
inline std::string root_or_environment(const std::string& root) {
    const char* of_environment = std::getenv("HYPER_ROOT");
    return !root.empty() || of_environment == nullptr ? root : of_environment;
}

inline std::string socket_below(const std::string& root) { return (root.empty() ? "/run/hyper" : root + "/run") + "/hyperd.sock"; }
inline std::string data_below(const std::string& root) { return root.empty() ? "/var/lib/hyper" : root; }
inline std::string state_below(const std::string& root) { return data_below(root) + "/scheduler"; }

}  // namespace hyper::hyperd
