// SPDX-License-Identifier: Apache-2.0
// AWS Signature Version 4 for S3, in headers and in URLs. Our own, since libcurl 7.88 signs neither x-amz-content-sha256 nor URLs.
// Source: "Signature Calculations for the Authorization Header" and "Authenticating Requests: Using Query Parameters" of the S3 API reference,
// whose examples are the tests.
#pragma once

#include <ctime>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "providers/s3/answer.h"

namespace hyper::s3 {

struct Credentials {
    std::string key_id, secret, token;  // token: empty where there is none
    time_t expires = 0;                 // 0: never
    bool anonymous() const { return key_id.empty(); }
};

using Parameters = std::vector<std::pair<std::string, std::string>>;  // not encoded

struct Signable {
    std::string method, host;
    std::string path;  // encoded
    Parameters query;
    Headers headers;           // names in lower case, without host
    std::string payload_hash;  // 64 hexadecimal digits, or UNSIGNED-PAYLOAD
};

// Everything but letters, digits and -._~ as %XX; slashes stay in a path.
std::string percent_encoded(std::string_view text, bool path);
// "a=1&b=", sorted as a signature wants it.
std::string query_text(Parameters query);

// All headers to send: those of the request, x-amz-content-sha256, x-amz-date, perhaps x-amz-security-token, and authorization.
Headers signed_headers(const Signable& request, const Credentials& credentials, const std::string& region, time_t now);
// The query with which the URL is good for so long, by whoever has it.
std::string presigned_query(const Signable& request, const Credentials& credentials, const std::string& region, time_t now, uint32_t expires_s);

}  // namespace hyper::s3
