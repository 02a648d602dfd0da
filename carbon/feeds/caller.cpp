// SPDX-License-Identifier: Apache-2.0
#include "carbon/feeds/caller.h"

#include <ctime>

#include "carbon/feeds/json.h"

namespace hyper::carbon {
namespace {

constexpr size_t shown_bytes_max = 160;
constexpr Seconds retry_after_max = std::chrono::hours(24);

bool is_here(std::string_view url) {
    for (std::string_view here : {"http://127.0.0.1", "http://[::1]", "http://localhost"}) {
        if (!url.starts_with(here)) continue;
        std::string_view rest = url.substr(here.size());
        return rest.find('@') == rest.npos && (rest.empty() || rest[0] == ':' || rest[0] == '/');
    }
    return false;
}

// What the service itself says, in one of the shapes that the four have: {"message"}, {"error", "message"}, {"error":{"message"}}, {"detail"}.
std::string said(const std::string& text, const std::vector<std::string>& secrets) {
    auto answer = parse_json(text);
    if (!answer) return "";
    const Json* found = nullptr;
    if (const Json* error = member(*answer, "error")) found = error->is_object() ? member(*error, "message") : error;
    if (const Json* message = member(*answer, "message")) found = message;
    if (found == nullptr) found = member(*answer, "detail");
    if (found == nullptr || !found->is_string()) return "";
    std::string words = found->get_ref<const std::string&>().substr(0, shown_bytes_max);
    for (char& c : words)
        if (static_cast<unsigned char>(c) < ' ' || static_cast<unsigned char>(c) > '~') c = '?';
    for (const std::string& secret : secrets)
        if (!secret.empty() && found->get_ref<const std::string&>().find(secret) != std::string::npos) return "";
    return words;
}

FeedProblem problem_of(int status) {
    if (status == 401 || status == 403) return FeedProblem::not_allowed;
    if (status == 429) return FeedProblem::too_many;
    if (status == 408 || status == 425 || status / 100 == 5) return FeedProblem::unavailable;
    if (status == 400 || status == 404 || status == 422) return FeedProblem::not_offered;
    return FeedProblem::garbage;
}

}  // namespace

bool keeps_secrets(std::string_view url) {
    if (is_here(url)) return true;
    return url.starts_with("https://") && url.find('@') == url.npos;
}

std::optional<Seconds> retry_after(std::string_view header, Instant now) {
    if (header.empty() || header.size() > 64) return std::nullopt;
    int64_t seconds = 0;
    if (header.find_first_not_of("0123456789") == header.npos) {
        for (char c : header.substr(0, 9)) seconds = seconds * 10 + (c - '0');
    } else {
        tm utc{};
        if (strptime(std::string(header).c_str(), "%a, %d %b %Y %H:%M:%S GMT", &utc) == nullptr) return std::nullopt;
        seconds = timegm(&utc) - now.time_since_epoch().count();
    }
    if (seconds <= 0) return std::nullopt;
    return std::min(retry_after_max, Seconds(seconds));
}

FeedFailure failure_of_answer(const HttpAnswer& answer, const std::vector<std::string>& secrets, Instant now) {
    if (answer.failure && answer.status / 100 != 4) {
        bool ours = answer.failure->problem == HttpProblem::untrusted || answer.failure->problem == HttpProblem::misconfigured;
        return {ours ? FeedProblem::misconfigured : FeedProblem::unavailable, answer.failure->message};
    }
    if (answer.status == 200) return {FeedProblem::garbage, fmt::format("an answer of more than {} bytes", Caller::answer_bytes_max)};
    FeedFailure failure{problem_of(answer.status), std::to_string(answer.status)};
    if (answer.status == 429) failure.message += " (too many requests)";
    else if (std::string words = said(answer.text, secrets); !words.empty()) failure.message += " (" + words + ")";
    failure.retry_after = retry_after(answer.header("retry-after"), now).value_or(Seconds(0));
    return failure;
}

FeedResult<std::string> Caller::get(const std::string& path, const HttpHeaders& headers, const std::string& basic, Instant now) {
    if (!keeps_secrets(url_))
        return tl::unexpected<FeedFailure>({FeedProblem::misconfigured, "its URL has to begin with https://, without a password in it"});
    auto free_at = limit_->take(now);
    if (!free_at) return misconfigured(free_at.error());
    if (*free_at > now)
        return tl::unexpected<FeedFailure>({FeedProblem::too_many, "the limit of calls that is configured is reached", *free_at - now});
    HttpRequest request;
    request.url = url_ + path;
    request.headers = headers;
    request.basic = basic;
    request.direct = is_here(url_);  // else a proxy would see the token in clear
    request.deadline_ns = monotonic_ns() + std::chrono::nanoseconds(call_max_).count();
    request.text_bytes_max = answer_bytes_max;
    HttpAnswer answer = ask_(std::move(request));
    if (answer.status == 200 && !answer.failure && !answer.text_cut) return std::move(answer.text);
    std::vector<std::string> secrets;
    for (const auto& header : headers) secrets.push_back(header.second.substr(header.second.rfind(' ') + 1));
    if (!basic.empty()) secrets.push_back(basic.substr(basic.find(':') + 1));
    return tl::unexpected(failure_of_answer(answer, secrets, now));
}

}  // namespace hyper::carbon
