// SPDX-License-Identifier: Apache-2.0
#include "providers/s3/failures.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <iterator>

#include "providers/s3/documents.h"

namespace hyper::s3 {

namespace {

struct Meaning {
    const char* code;  // of the server's error document
    hyper_failure kind;
    const char* advice;
};

// They say more than the status, which differs between servers.
constexpr Meaning meanings[] = {
    {"ExpiredToken", HYPER_LOG_IN_AGAIN, "the session has ended"},
    {"TokenRefreshRequired", HYPER_LOG_IN_AGAIN, "the session has ended"},
    {"InvalidToken", HYPER_LOG_IN_AGAIN, "the session token is not known"},
    {"SignatureDoesNotMatch", HYPER_NOT_ALLOWED, "the secret key is not that of the key id, or the URL was changed"},
    {"InvalidAccessKeyId", HYPER_NOT_ALLOWED, "the key id is not known"},
    {"RequestExpired", HYPER_NOT_ALLOWED, "the presigned URL is past its time"},
    {"InvalidObjectState", HYPER_BAD_CONFIGURATION, "the object is archived: restore it first"},
    {"NoSuchBucket", HYPER_BAD_CONFIGURATION, "there is no such bucket"},
    {"NoSuchUpload", HYPER_SNAPSHOT_GONE, "there is no such upload any more"},
    {"PermanentRedirect", HYPER_BAD_CONFIGURATION, "the bucket is in another region: set region="},
    {"AuthorizationHeaderMalformed", HYPER_BAD_CONFIGURATION, "the bucket is in another region: set region="},
    {"EntityTooLarge", HYPER_BAD_CONFIGURATION, "the server takes no object of that size"},
    {"QuotaExceeded", HYPER_QUOTA, "make room there"},
    {"SlowDown", HYPER_RETRY_LATER, "the server asks for fewer requests"},
    {"RequestTimeout", HYPER_RETRY_LATER, "the server did not get all of the request in time"},
    {"ServiceUnavailable", HYPER_RETRY_LATER, "the server is overloaded"},
    {"InternalError", HYPER_RETRY_LATER, "the server failed"},
    {"OperationAborted", HYPER_RETRY_LATER, "something else is under way there"},
};

Meaning meaning_of(int status, Known known) {
    switch (status) {
        case 301:
        case 302:
        case 303:
        case 307:
        case 308:
            return {"", HYPER_BAD_CONFIGURATION, "it is elsewhere, and redirects are not followed"};
        case 401:
        case 403:
            return {"", HYPER_NOT_ALLOWED, "credentials or permissions do not suffice"};
        case 404:
        case 410:
            if (known == Known::yes) return {"", HYPER_SNAPSHOT_GONE, "it is gone"};
            return {"", HYPER_BAD_CONFIGURATION, "there is no such object"};
        case 412:
            return {"", HYPER_SNAPSHOT_GONE, "the object was changed"};
        case 416:
            if (known == Known::yes) return {"", HYPER_SNAPSHOT_GONE, "the object is shorter than it was"};
            return {"", HYPER_BAD_CONFIGURATION, "the range is not in the object"};
        case 408:
        case 425:
        case 429:
            return {"", HYPER_RETRY_LATER, "the server asks for fewer requests"};
        case 500:
        case 502:
        case 503:
        case 504:
            return {"", HYPER_RETRY_LATER, "the server failed or is overloaded"};
        case 507:
            return {"", HYPER_QUOTA, "make room there"};
        case 400:
        case 405:
            return {"", HYPER_BAD_CONFIGURATION, "the server takes no such request"};
        default:
            return {"", HYPER_FATAL, "unexpected"};
    }
}

std::string clock_text(const HttpAnswer& answer) {
    int64_t apart = seconds_between(std::string(answer.header("date")), time(nullptr));
    if (apart == 0) return "this machine's clock is wrong: set it";
    return fmt::format("this machine's clock is {} s {} the server's: set it", apart < 0 ? -apart : apart, apart < 0 ? "ahead of" : "behind");
}

}  // namespace

int64_t seconds_between(const std::string& date, int64_t now_s) {
    tm utc{};
    if (strptime(date.c_str(), "%a, %d %b %Y %H:%M:%S", &utc) == nullptr) return 0;
    return timegm(&utc) - now_s;
}

Failure failure_of(const HttpFailure& failure) {
    switch (failure.problem) {
        case HttpProblem::unreachable:
        case HttpProblem::given_up:
            return {HYPER_RETRY_LATER, failure.message};
        case HttpProblem::untrusted:
            return {HYPER_BAD_CONFIGURATION, failure.message + ": for one of your own CA set AWS_CA_BUNDLE"};
        case HttpProblem::misconfigured:
            return {HYPER_BAD_CONFIGURATION, failure.message};
        case HttpProblem::internal:
            break;
    }
    return {HYPER_FATAL, failure.message};
}

Failure failure_of(const HttpAnswer& answer, const std::string& what, Known known) {
    if (answer.failure && (answer.status == 0 || answer.status / 100 == 2)) {
        Failure failure = failure_of(*answer.failure);
        return {failure.kind, what + ": " + failure.message};
    }
    ServerError said = server_error(answer.text);
    if (said.code == "RequestTimeTooSkewed") return {HYPER_NOT_ALLOWED, fmt::format("{}: {} (RequestTimeTooSkewed)", what, clock_text(answer)), 0};
    Meaning meaning = meaning_of(answer.status, known);
    auto found = std::find_if(std::begin(meanings), std::end(meanings), [&](const Meaning& other) { return said.code == other.code; });
    if (found != std::end(meanings)) meaning = *found;
    std::string region = said.region.empty() ? std::string(answer.header("x-amz-bucket-region")) : said.region;
    std::string advice = meaning.advice;
    if (meaning.kind == HYPER_BAD_CONFIGURATION && !region.empty() && advice.ends_with("region=")) advice += region;
    if (std::string_view place = answer.header("location"); !place.empty() && answer.status / 100 == 3)
        advice += fmt::format(" (to {})", place.substr(0, place.find('?')));
    std::string text = fmt::format("{}: {} ({}", what, advice, answer.status);
    if (!said.code.empty()) text += " " + said.code;
    if (!said.message.empty()) text += ": " + said.message;
    return {meaning.kind, text + ")", meaning.kind == HYPER_RETRY_LATER ? answer.retry_after_ms : 0};
}

}  // namespace hyper::s3
