// SPDX-License-Identifier: Apache-2.0
// Asks a server on a Unix socket.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "blockengine/base/result.h"
#include "http/message.h"

namespace hyper::http {

// Errors: ECONNREFUSED where nobody answers; any status is an answer.
Result<Answer> ask_unix(const std::string& socket_path, const std::string& method, const std::string& target, const std::string& json_body = "");

// Gives the body of an answer 200 as it comes, until it ends or `take` says false. `waits` is how long nothing may come. Any other answer is
// given back whole. Errors: as above.
Result<Answer> follow_unix(const std::string& socket_path, const std::string& target, const Fields& headers, std::chrono::seconds waits,
                           const std::function<bool(std::string_view)>& take);

}  // namespace hyper::http
