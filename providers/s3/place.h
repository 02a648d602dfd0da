// SPDX-License-Identifier: Apache-2.0
// What a URI and its options mean: which server, which bucket, which object, and how it is addressed.
#pragma once

#include <optional>
#include <string>

#include "providers/s3/signing.h"

namespace hyper::s3 {

// Where a request goes. `query` is not encoded; `raw_query` stands instead of it where a URL came with one.
struct Target {
    std::string scheme, host;  // host with its port
    std::string path;          // encoded
    Parameters query;
    std::string raw_query;

    std::string url() const;
};

// A value. s3://BUCKET[/KEY], or an object by its http:// or https:// URL, which is asked for as it is.
class Place {
  public:
    // Errors: HYPER_BAD_CONFIGURATION. Reads AWS_REGION, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL.
    static Outcome<Place> parse(const std::string& uri, const provider::Options& options);

    bool is_bucket() const { return !bucket_.empty(); }
    const std::string& region() const { return region_; }
    const std::string& key() const { return key_; }
    const std::string& credentials_file() const { return credentials_file_; }
    bool anonymous() const { return anonymous_; }
    // For messages: the URI, without a query.
    const std::string& text() const { return text_; }
    // What comes before a disk's name: the key, or the URL, up to its last slash.
    std::string folder() const { return key_.substr(0, key_.rfind('/') + 1); }
    // Which disk the URI means; empty where it means a folder or a bucket.
    std::string disk() const { return key_.substr(key_.rfind('/') + 1); }
    // Of a disk, for messages and, with the server, as what it is for ever.
    std::string text_of(const std::string& disk) const;
    std::string disk_id(const std::string& disk) const;

    Target object(const std::string& disk) const;
    // Of a bucket alone.
    Target bucket() const;

  private:
    Target target(const std::string& key) const;

    std::string text_, scheme_, host_, bucket_, region_, credentials_file_;
    std::string key_;        // of an http(s) place: the URL's path without its first slash, encoded as it came
    std::string raw_query_;  // of an http(s) place
    bool path_style_ = false, anonymous_ = false;
};

// The environment's word, unless it is not there or empty.
std::optional<std::string> environment(const char* name);

}  // namespace hyper::s3
