// SPDX-License-Identifier: Apache-2.0
// Requests and answers of HTTP, as our servers and clients see them. Plain data.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hyper::http {

using Fields = std::vector<std::pair<std::string, std::string>>;

struct Request {
    std::string method;
    std::string path;   // what stands before "?", decoded: any bytes
    Fields parameters;  // of the query, decoded
    Fields headers;     // names in lower case
    std::string body;

    // The first of that name; nothing where there is none.
    std::optional<std::string_view> header(std::string_view name) const;
    std::optional<std::string_view> parameter(std::string_view name) const;
};

struct Answer {
    int status = 200;
    std::string content_type = "application/json";
    std::string body{};
    Fields headers{};
    // Where it is set it gives the body piece by piece, until it gives nothing. It may wait; it is called on the connection's thread.
    std::function<std::optional<std::string>()> next_piece{};
};

// `text` as part of a target: all but letters, digits and "-._~/" as %XX.
std::string path_text(std::string_view text);

}  // namespace hyper::http
