// SPDX-License-Identifier: Apache-2.0
// One request on one connection, answered. HTTP itself is cpp-httplib's, which is included in exchange.cpp and unix_client.cpp alone; who
// listens, and on which thread a connection is served, is the caller's.
//
// A connection carries one request: what our clients ask is rare, and there is no second request to mistake for a first one's body. Bodies
// come with a length; chunked ones are refused (411), as are compressed ones (415).
#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "http/message.h"

namespace hyper {
class TlsSession;
}

namespace hyper::http {

struct Limits {
    size_t request_bytes_max = 32 << 10;  // all that is read, the body included
    size_t body_bytes_max = 0;
    std::chrono::milliseconds request_max{2000};  // until it has come as a whole
    std::chrono::milliseconds answer_max{2000};   // until it has gone; of an answer in pieces, each piece
};

struct Handler {
    // Looks at a request before its body is read; what it answers ends the request. May be empty.
    std::function<std::optional<Answer>(const Request&)> refuse{};
    std::function<Answer(const Request&)> answer{};
    // What is said of a request that is none, or over a limit: 400, 411, 413, 415.
    std::function<Answer(int status, const std::string& message)> malformed{};
};

// Returns when the answer has gone, or the client, or the time. `tls` is one whose handshake has still to be done, or nullptr; `fd` stays
// open and is neither blocking nor not: every wait is bounded.
void serve(int fd, TlsSession* tls, const Limits& limits, const Handler& handler);

}  // namespace hyper::http
