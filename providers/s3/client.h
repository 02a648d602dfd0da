// SPDX-License-Identifier: Apache-2.0
// A place with its credentials: makes requests for it, signed, and sends them.
#pragma once

#include <memory>
#include <string>

#include "providers/s3/credentials.h"
#include "providers/s3/place.h"

namespace hyper::s3 {

struct Call {
    std::string method = "GET";
    Target target;
    Headers headers;                  // names in lower case
    std::span<const std::byte> body;  // stays until it is done
    int64_t deadline_ns = 0;
    std::string payload_hash;  // SHA-256 of the body, in hexadecimal; empty: not known yet
};

// Thread-safe.
class Client {
  public:
    // Finds the credentials, perhaps by asking the instance's metadata.
    static Outcome<std::unique_ptr<Client>> open(const std::string& uri, const provider::Options& options, int64_t deadline_ns);

    const Place& place() const { return place_; }
    Http& http() { return *http_; }
    bool anonymous() const { return credentials_.anonymous(); }

    // Errors: HYPER_LOG_IN_AGAIN where the credentials are about to end.
    Outcome<HttpRequest> request(const Call& call) const;
    // Sends it and waits. An answer of any status.
    Outcome<HttpAnswer> ask(const Call& call, const std::function<bool()>& cancelled, size_t text_bytes_max = 64 * 1024);

    // GET of an object; `version` may be empty.
    Call get(const std::string& disk, const std::string& version, int64_t deadline_ns) const;

  private:
    Client(Place place, std::unique_ptr<Http> http, Credentials credentials);

    Place place_;
    Credentials credentials_;
    std::unique_ptr<Http> http_;
};

}  // namespace hyper::s3
