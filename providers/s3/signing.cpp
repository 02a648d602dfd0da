// SPDX-License-Identifier: Apache-2.0
#include "providers/s3/signing.h"

#include <fmt/format.h>

#include <algorithm>

#include "blockengine/base/bytes.h"
#include "blockengine/base/hex.h"
#include "blockengine/base/sha256.h"

namespace hyper::s3 {

namespace {

constexpr size_t block_bytes = 64;  // of SHA-256

std::span<const std::byte> bytes_of_hash(const Sha256& hash) { return hash; }

// RFC 2104.
Sha256 hmac(std::span<const std::byte> key, std::string_view text) {
    std::array<std::byte, block_bytes> inner, outer;
    Sha256 hashed_key;
    if (key.size() > block_bytes) {
        hashed_key = sha256({key});
        key = hashed_key;
    }
    for (size_t i = 0; i < block_bytes; ++i) {
        std::byte k = i < key.size() ? key[i] : std::byte{0};
        inner[i] = k ^ std::byte{0x36};
        outer[i] = k ^ std::byte{0x5c};
    }
    Sha256 hash = sha256({inner, bytes_of_text(text)});
    return sha256({outer, bytes_of_hash(hash)});
}

std::string time_text(time_t now) {
    tm utc;
    gmtime_r(&now, &utc);
    char text[32];
    strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &utc);
    return text;
}

// What a signature is good for: a day, a region.
std::string scope(const std::string& time, const std::string& region) { return time.substr(0, 8) + "/" + region + "/s3/aws4_request"; }

std::string names_of(const Headers& sorted) {
    std::string names;
    for (const auto& [name, value] : sorted) names += (names.empty() ? "" : ";") + name;
    return names;
}

std::string signature(const Signable& request, const std::string& query, const Headers& sorted, const Credentials& credentials,
                      const std::string& region, const std::string& time) {
    std::string canonical = request.method + "\n" + request.path + "\n" + query + "\n";
    for (const auto& [name, value] : sorted) canonical += name + ":" + value + "\n";
    canonical += "\n" + names_of(sorted) + "\n" + request.payload_hash;
    std::string to_sign = "AWS4-HMAC-SHA256\n" + time + "\n" + scope(time, region) + "\n" + hex(sha256({bytes_of_text(canonical)}));
    std::string secret = "AWS4" + credentials.secret;
    Sha256 key = hmac(bytes_of_text(secret), time.substr(0, 8));
    for (std::string_view part : {std::string_view(region), std::string_view("s3"), std::string_view("aws4_request")}) key = hmac(key, part);
    return hex(hmac(key, to_sign));
}

}  // namespace

std::string percent_encoded(std::string_view text, bool path) {
    std::string encoded;
    for (unsigned char c : text) {
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
        if (plain || (path && c == '/'))
            encoded += static_cast<char>(c);
        else
            encoded += fmt::format("%{:02X}", c);
    }
    return encoded;
}

std::string query_text(Parameters query) {
    for (auto& [name, value] : query) {
        name = percent_encoded(name, false);
        value = percent_encoded(value, false);
    }
    std::sort(query.begin(), query.end());
    std::string text;
    for (const auto& [name, value] : query) text += (text.empty() ? "" : "&") + name + "=" + value;
    return text;
}

Headers signed_headers(const Signable& request, const Credentials& credentials, const std::string& region, time_t now) {
    std::string time = time_text(now);
    Headers headers = request.headers;
    headers.emplace_back("x-amz-content-sha256", request.payload_hash);
    headers.emplace_back("x-amz-date", time);
    if (!credentials.token.empty()) headers.emplace_back("x-amz-security-token", credentials.token);
    Headers sorted = headers;
    sorted.emplace_back("host", request.host);
    std::sort(sorted.begin(), sorted.end());
    headers.emplace_back("authorization",
                         fmt::format("AWS4-HMAC-SHA256 Credential={}/{},SignedHeaders={},Signature={}", credentials.key_id, scope(time, region),
                                     names_of(sorted), signature(request, query_text(request.query), sorted, credentials, region, time)));
    return headers;
}

std::string presigned_query(const Signable& request, const Credentials& credentials, const std::string& region, time_t now,
                            uint32_t expires_s) {
    std::string time = time_text(now);
    Headers sorted = request.headers;
    sorted.emplace_back("host", request.host);
    std::sort(sorted.begin(), sorted.end());
    Parameters query = request.query;
    query.emplace_back("X-Amz-Algorithm", "AWS4-HMAC-SHA256");
    query.emplace_back("X-Amz-Credential", credentials.key_id + "/" + scope(time, region));
    query.emplace_back("X-Amz-Date", time);
    query.emplace_back("X-Amz-Expires", std::to_string(expires_s));
    query.emplace_back("X-Amz-SignedHeaders", names_of(sorted));
    if (!credentials.token.empty()) query.emplace_back("X-Amz-Security-Token", credentials.token);
    std::string text = query_text(query);
    Signable unsigned_payload = request;
    unsigned_payload.payload_hash = "UNSIGNED-PAYLOAD";
    return text + "&X-Amz-Signature=" + signature(unsigned_payload, text, sorted, credentials, region, time);
}

}  // namespace hyper::s3
