// SPDX-License-Identifier: Apache-2.0
// Who may come in: looked at before a request's body is read and before any route. There is no way around it.
//
//   Unix socket   the peer's user is ours or root (every scope), or it is in the configured group (read and run)
//   TCP           Authorization: Bearer TOKEN, of the token file
//   both          Host must be a name of ours, against DNS rebinding (behind TLS the certificate has seen to that); a request that a foreign page makes (Origin) is refused; bodies are JSON;
//                 each origin has so many requests a second
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "http/message.h"
#include "nbdserver/locks/peer.h"
#include "scheduler/hyperd/rate_limit.h"
#include "scheduler/hyperd/tokens.h"

namespace hyper::hyperd {

struct GateRules {
    Tokens tokens;
    std::vector<std::string> hosts;  // besides localhost, 127.0.0.1 and [::1]; without port
    std::optional<gid_t> group;
};

// Thread-safe; change() holds for requests that come after it.
class Gate {
  public:
    static constexpr double requests_per_second = 50, requests_burst = 200;

    explicit Gate(GateRules rules) : rules_(std::make_shared<const GateRules>(std::move(rules))) {}
    void change(GateRules rules);

    // Who it is, or what is answered instead.
    std::variant<Caller, http::Answer> judge(const http::Request& request, const Peer& peer, bool tls, RateLimit::Time now);

  private:
    std::mutex mutex_;
    std::shared_ptr<const GateRules> rules_;  // guarded by mutex_
    RateLimit rate_{requests_per_second, requests_burst};  // guarded by mutex_
};

}  // namespace hyper::hyperd
