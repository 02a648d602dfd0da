// SPDX-License-Identifier: Apache-2.0
#include "providers/s3/client.h"

#include "blockengine/base/sha256.h"
#include "blockengine/base/hex.h"

namespace hyper::s3 {

namespace {

// Credentials that end within this time are not used any more. New ones can be had some minutes before.
constexpr time_t expiry_margin_s = 60;

}  // namespace

Client::Client(Place place, std::unique_ptr<Http> http, Credentials credentials)
    : place_(std::move(place)), credentials_(std::move(credentials)), http_(std::move(http)) {}

Outcome<std::unique_ptr<Client>> Client::open(const std::string& uri, const provider::Options& options, int64_t deadline_ns) {
    auto place = Place::parse(uri, options);
    if (!place) return tl::unexpected(place.error());
    auto http = Http::start(environment("AWS_CA_BUNDLE").value_or(""));
    if (!http) return failed(HYPER_FATAL, http.error().message);
    Credentials credentials;
    if (!place->anonymous()) {
        auto found = find_credentials(place->credentials_file(), **http, deadline_ns);
        if (!found) return failed(found.error().kind, place->text() + ": " + found.error().message);
        credentials = *found;
    }
    return std::unique_ptr<Client>(new Client(std::move(*place), std::move(*http), std::move(credentials)));
}

Outcome<HttpRequest> Client::request(const Call& call) const {
    HttpRequest request;
    request.method = call.method;
    request.url = call.target.url();
    request.body = call.body;
    request.deadline_ns = call.deadline_ns;
    request.headers = call.headers;
    if (anonymous()) return request;
    time_t now = time(nullptr);
    if (credentials_.expires != 0 && now >= credentials_.expires - expiry_margin_s)
        return failed(HYPER_LOG_IN_AGAIN, place_.text() + ": the instance's credentials have ended");
    std::string hash = call.payload_hash.empty() ? hex(sha256({call.body})) : call.payload_hash;
    request.headers = signed_headers({call.method, call.target.host, call.target.path, call.target.query, call.headers, hash}, credentials_,
                                     place_.region(), now);
    return request;
}

Outcome<HttpAnswer> Client::ask(const Call& call, const std::function<bool()>& cancelled, size_t text_bytes_max) {
    auto made = request(call);
    if (!made) return tl::unexpected(made.error());
    made->cancelled = cancelled;
    made->text_bytes_max = text_bytes_max;
    return http_->ask(std::move(*made));
}

Call Client::get(const std::string& disk, const std::string& version, int64_t deadline_ns) const {
    Call call;
    call.target = place_.object(disk);
    if (!version.empty() && place_.is_bucket()) call.target.query.emplace_back("versionId", version);
    call.deadline_ns = deadline_ns;
    return call;
}

}  // namespace hyper::s3
