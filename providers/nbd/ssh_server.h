// SPDX-License-Identifier: Apache-2.0
// Files of machines that are reached by ssh: read by nbdkit's ssh plugin, which is started for each connection and ends with it.
#pragma once

#include <string>

#include "providers/nbd/line.h"

namespace hyper::nbd {

inline constexpr const char* ssh_scheme = "ssh://";

// Of ssh://[USER@]HOST[:PORT]/PATH. The options are ssh-config, ssh-identity and ssh-known-hosts, files all of them. HYPER_BAD_CONFIGURATION says
// what is wrong; a password in the URI is.
provider::Outcome<Server> ssh_server(const std::string& uri, const provider::Options& options);

}  // namespace hyper::nbd
