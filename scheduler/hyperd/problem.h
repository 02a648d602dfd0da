// SPDX-License-Identifier: Apache-2.0
// Errors as application/problem+json (RFC 9457), with the field that is wrong and the value it has.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "blockengine/base/result.h"
#include "http/message.h"

namespace hyper::hyperd {

using Json = nlohmann::ordered_json;

struct WrongField {
    std::string field{};  // "rpo", "path.job", "header.Host"
    Json value{};         // null where it is not there, or too long to be said
};

http::Answer problem(int status, const std::string& detail, const WrongField& wrong = {});
// By the error's code: ENOENT is 404, EEXIST and EBUSY 409, EINVAL 422, ECANCELED 409, all else 500.
http::Answer problem_of(const Error& error, const WrongField& wrong = {});

http::Answer json_answer(const Json& json, int status = 200);

}  // namespace hyper::hyperd
