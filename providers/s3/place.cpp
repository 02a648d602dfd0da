// SPDX-License-Identifier: Apache-2.0
#include "providers/s3/place.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "blockengine/base/bytes.h"
#include "blockengine/base/hex.h"
#include "blockengine/base/sha256.h"

namespace hyper::s3 {

namespace {

struct Options {
    std::optional<std::string> endpoint, region, credentials_file;
    std::optional<bool> path_style, anonymous;
};

Outcome<bool> yes_or_no(const std::string& key, const std::string& value) {
    if (value == "true" || value == "yes" || value == "1") return true;
    if (value == "false" || value == "no" || value == "0") return false;
    return failed(HYPER_BAD_CONFIGURATION, fmt::format("s3: {}={} is neither true nor false", key, value));
}

Outcome<Options> options_of(const provider::Options& given) {
    Options options;
    for (const auto& [key, value] : given) {
        if (key == "endpoint") {
            options.endpoint = value;
        } else if (key == "region") {
            options.region = value;
        } else if (key == "credentials-file") {
            options.credentials_file = value;
        } else if (key == "path-style" || key == "anonymous") {
            auto yes = yes_or_no(key, value);
            if (!yes) return tl::unexpected(yes.error());
            (key == "anonymous" ? options.anonymous : options.path_style) = *yes;
        } else {
            return failed(HYPER_BAD_CONFIGURATION, fmt::format("s3: there is no option {} (there are endpoint, region, path-style, "
                                                               "credentials-file, anonymous)", key));
        }
    }
    return options;
}

// "https://host[:port]" and what comes after.
struct Url {
    std::string scheme, host, rest;
};
Outcome<Url> split(const std::string& url, const std::string& shown) {
    size_t colon = url.find("://");
    Url parts{url.substr(0, colon), "", ""};
    if (colon == url.npos || (parts.scheme != "http" && parts.scheme != "https"))
        return failed(HYPER_BAD_CONFIGURATION, fmt::format("{}: is no http:// or https:// URL", shown));
    std::string after = url.substr(colon + 3);
    size_t end = std::min(after.find_first_of("/?#"), after.size());
    parts.host = after.substr(0, end);
    parts.rest = after.substr(end);
    std::transform(parts.host.begin(), parts.host.end(), parts.host.begin(), [](unsigned char c) { return static_cast<char>(tolower(c)); });
    // The Host header, which is signed, has no port that is the scheme's own.
    std::string own_port = parts.scheme == "https" ? ":443" : ":80";
    if (parts.host.ends_with(own_port)) parts.host.resize(parts.host.size() - own_port.size());
    if (parts.host.empty()) return failed(HYPER_BAD_CONFIGURATION, fmt::format("{}: names no host", shown));
    if (parts.host.find('@') != parts.host.npos)
        return failed(HYPER_BAD_CONFIGURATION, "a URL with a user and a password in it: anybody here could read them, so they are not taken");
    return parts;
}

bool good_bucket(const std::string& name) {
    auto good = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_'; };
    return !name.empty() && name.size() <= 255 && name != "." && name != ".." && std::all_of(name.begin(), name.end(), good);
}

bool good_region(const std::string& name) {
    auto good = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'; };
    return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), good);
}

// Letters, digits and what has a place in URLs; blanks and control characters would end the request's line.
bool good_url(const std::string& text) { return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c > 32 && c < 127; }); }

// Of a query what says which content is meant: without a signature, which is another each time.
std::string query_without_signature(const std::string& query) {
    static constexpr const char* of_signatures[] = {"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders",
                                                    "x-amz-signature", "x-amz-security-token", "awsaccesskeyid", "signature", "expires"};
    std::string kept;
    for (size_t at = 0; at < query.size();) {
        size_t end = std::min(query.find('&', at), query.size());
        std::string parameter = query.substr(at, end - at), name = parameter.substr(0, parameter.find('='));
        std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(tolower(c)); });
        if (std::none_of(std::begin(of_signatures), std::end(of_signatures), [&](const char* other) { return name == other; }))
            kept += parameter + "&";
        at = end + 1;
    }
    return kept;
}

}  // namespace

std::optional<std::string> environment(const char* name) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == 0) return std::nullopt;
    return value;
}

std::string Target::url() const {
    std::string text = raw_query.empty() ? query_text(query) : raw_query;
    return scheme + "://" + host + path + (text.empty() ? "" : "?" + text);
}

Outcome<Place> Place::parse(const std::string& uri, const provider::Options& given) {
    auto options = options_of(given);
    if (!options) return tl::unexpected(options.error());
    Place place;
    if (!uri.starts_with("s3://")) {
        std::string shown = uri.substr(0, uri.find('?'));
        if (!given.empty()) return failed(HYPER_BAD_CONFIGURATION, fmt::format("{}: options are for s3:// alone", shown));
        if (!good_url(uri)) return failed(HYPER_BAD_CONFIGURATION, "a URL with a character in it that has to be written as %XX");
        auto url = split(uri, shown);
        if (!url) return tl::unexpected(url.error());
        std::string rest = url->rest.substr(0, url->rest.find('#'));
        size_t question = std::min(rest.find('?'), rest.size());
        place.key_ = rest.substr(0, question);
        if (place.key_.size() < 2 || place.key_.back() == '/') return failed(HYPER_BAD_CONFIGURATION, fmt::format("{}: names no object", shown));
        place.key_.erase(0, 1);
        place.raw_query_ = question < rest.size() ? rest.substr(question + 1) : "";
        place.scheme_ = url->scheme;
        place.host_ = url->host;
        place.text_ = url->scheme + "://" + url->host + "/" + place.key_;
        place.anonymous_ = true;
        return place;
    }

    std::string after = uri.substr(5);
    size_t slash = std::min(after.find('/'), after.size());
    place.text_ = uri;
    place.bucket_ = after.substr(0, slash);
    place.key_ = slash < after.size() ? after.substr(slash + 1) : "";
    if (!good_bucket(place.bucket_)) return failed(HYPER_BAD_CONFIGURATION, fmt::format("{}: \"{}\" is no name of a bucket", uri, place.bucket_));
    place.region_ = options->region.value_or(environment("AWS_REGION").value_or(environment("AWS_DEFAULT_REGION").value_or("us-east-1")));
    if (!good_region(place.region_)) return failed(HYPER_BAD_CONFIGURATION, fmt::format("{}: \"{}\" is no name of a region", uri, place.region_));
    std::optional<std::string> endpoint = options->endpoint ? options->endpoint : environment("AWS_ENDPOINT_URL");
    bool at_aws = !endpoint;
    if (at_aws) endpoint = fmt::format("https://s3.{}.amazonaws.com{}", place.region_, place.region_.starts_with("cn-") ? ".cn" : "");
    auto url = split(*endpoint, "endpoint");
    if (!url) return tl::unexpected(url.error());
    if ((url->rest != "" && url->rest != "/") || !good_url(url->host))
        return failed(HYPER_BAD_CONFIGURATION, "endpoint: is more than https://HOST[:PORT]");
    place.scheme_ = url->scheme;
    place.host_ = url->host;
    // A certificate's * stands for no dot. Others than AWS all take the path's style, and not all the host's.
    place.path_style_ = options->path_style.value_or(!at_aws || place.bucket_.find('.') != std::string::npos);
    place.credentials_file_ = options->credentials_file.value_or("");
    place.anonymous_ = options->anonymous.value_or(false);
    return place;
}

std::string Place::text_of(const std::string& disk) const {
    if (!is_bucket()) return text_;
    return "s3://" + bucket_ + "/" + folder() + disk;
}

std::string Place::disk_id(const std::string& disk) const {
    if (is_bucket()) return "s3:" + scheme_ + "://" + host_ + "/" + bucket_ + "/" + folder() + disk;
    std::string query = query_without_signature(raw_query_);
    return text_ + (query.empty() ? "" : "?" + hex(sha256({bytes_of_text(query)})));
}

Target Place::target(const std::string& key) const {
    std::string path = percent_encoded(key, true);
    if (path_style_) return {scheme_, host_, "/" + bucket_ + (path.empty() ? "" : "/" + path), {}, ""};
    return {scheme_, bucket_ + "." + host_, "/" + path, {}, ""};
}

Target Place::object(const std::string& disk) const {
    if (!is_bucket()) return {scheme_, host_, "/" + key_, {}, raw_query_};
    return target(folder() + disk);
}

Target Place::bucket() const { return target(""); }

}  // namespace hyper::s3
