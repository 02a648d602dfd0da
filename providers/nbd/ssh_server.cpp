// SPDX-License-Identifier: Apache-2.0
#include "providers/nbd/ssh_server.h"

#include <cstring>

namespace hyper::nbd {

using provider::failed;
using provider::Outcome;

Outcome<Server> ssh_server(const std::string& uri, const provider::Options& options) {
    std::string rest = uri.substr(std::strlen(ssh_scheme));
    size_t slash = rest.find('/');
    if (slash == std::string::npos || slash + 1 == rest.size())
        return failed(HYPER_BAD_CONFIGURATION, "\"" + uri + "\" names no file (try ssh://USER@HOST/PATH)");
    std::string host = rest.substr(0, slash), path = rest.substr(slash), user, port;
    if (size_t at = host.rfind('@'); at != std::string::npos) {
        user = host.substr(0, at);
        host.erase(0, at + 1);
    }
    if (user.find(':') != std::string::npos)
        return failed(HYPER_BAD_CONFIGURATION, "a password does not belong in a URI (use a key: an agent's, or --provider nbd.ssh-identity=FILE)");
    size_t colon = host.rfind(':'), bracket = host.rfind(']');
    if (colon != std::string::npos && (bracket == std::string::npos || colon > bracket)) {
        port = host.substr(colon + 1);
        host.erase(colon);
        if (port.empty() || port.size() > 5 || port.find_first_not_of("0123456789") != std::string::npos)
            return failed(HYPER_BAD_CONFIGURATION, "\"" + port + "\" is no port (try ssh://USER@HOST:22/PATH)");
    }
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    // A host that begins with a dash would be taken for an option further down.
    if (host.empty() || host.front() == '-') return failed(HYPER_BAD_CONFIGURATION, "\"" + host + "\" is no host");

    Server server{uri, uri, {}, {}};
    // What this process blocks or ignores is not meant for others: nbdkit is ended by SIGTERM.
    server.command = {"env", "--default-signal", "nbdkit", "--readonly", "ssh", "host=" + host, "path=" + path};
    if (!user.empty()) server.command.push_back("user=" + user);
    if (!port.empty()) server.command.push_back("port=" + port);
    for (const auto& [key, value] : options) {
        if (key != "ssh-config" && key != "ssh-identity" && key != "ssh-known-hosts") continue;
        server.command.push_back(key.substr(std::strlen("ssh-")) + "=" + value);
    }
    return server;
}

}  // namespace hyper::nbd
