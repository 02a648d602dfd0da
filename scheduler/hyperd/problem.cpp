// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/problem.h"

#include <cerrno>

namespace hyper::hyperd {

namespace {

constexpr size_t value_bytes_max = 200;

const char* title_of(int status) {
    switch (status) {
        case 400:
            return "the request is not understood";
        case 401:
            return "who asks is not known";
        case 403:
            return "not allowed";
        case 404:
            return "not there";
        case 405:
            return "not possible here";
        case 409:
            return "not possible now";
        case 411:
        case 413:
        case 415:
            return "the body is not taken";
        case 421:
            return "asked under a foreign name";
        case 422:
            return "a value is wrong";
        case 429:
            return "too many requests";
        case 503:
            return "too busy";
        default:
            return "it failed";
    }
}

int status_of(int code) {
    switch (code) {
        case ENOENT:
            return 404;
        case EEXIST:
        case EBUSY:
        case ECANCELED:
            return 409;
        case EINVAL:
        case ERANGE:
        case ENAMETOOLONG:
            return 422;
        default:
            return 500;
    }
}

std::string text_of(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

}  // namespace

http::Answer problem(int status, const std::string& detail, const WrongField& wrong) {
    Json json{{"type", "about:blank"}, {"title", title_of(status)}, {"status", status}, {"detail", detail}};
    if (!wrong.field.empty()) {
        json["field"] = wrong.field;
        bool short_enough = wrong.value.dump(-1, ' ', false, Json::error_handler_t::replace).size() <= value_bytes_max;
        json["value"] = short_enough ? wrong.value : Json();
    }
    return {status, "application/problem+json", text_of(json)};
}

http::Answer problem_of(const Error& error, const WrongField& wrong) { return problem(status_of(error.code), error.message, wrong); }

http::Answer json_answer(const Json& json, int status) { return {status, "application/json", text_of(json)}; }

}  // namespace hyper::hyperd
