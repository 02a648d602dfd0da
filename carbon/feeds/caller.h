// SPDX-License-Identifier: Apache-2.0
// Calls of one service: how one is made, what its answer means, and no more of them than are allowed. Nothing is tried twice: when to ask again is
// said by poll_schedule.h alone.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "blockengine/http/http.h"
#include "carbon/feeds/call_limit.h"
#include "carbon/feeds/feed.h"

namespace hyper::carbon {

// Sends a request and waits for its answer: Http::ask(), or what a test says instead.
using AskHttp = std::function<HttpAnswer(HttpRequest)>;

// Bound to one thread at a time.
class Caller {
  public:
    static constexpr std::chrono::milliseconds usual_call_max{15'000};
    static constexpr size_t answer_bytes_max = 2 << 20;  // a longer one is garbage

    // `url`: without a slash at its end, https:// unless the host is this machine. `limit` is whose account the calls are made on. A call ends
    // within `call_max`.
    Caller(FeedAbout about, std::string url, AskHttp ask, std::shared_ptr<CallLimit> limit, std::chrono::milliseconds call_max = usual_call_max)
        : about_(std::move(about)), url_(std::move(url)), ask_(std::move(ask)), limit_(std::move(limit)), call_max_(call_max) {}

    const FeedAbout& about() const { return about_; }

    // The text of an answer with status 200.
    FeedResult<std::string> get(const std::string& path, const HttpHeaders& headers, Instant now) { return get(path, headers, "", now); }
    // The same with a name and a password, as USER:PASSWORD.
    FeedResult<std::string> get_as(const std::string& path, const std::string& basic, Instant now) { return get(path, {}, basic, now); }

  private:
    FeedResult<std::string> get(const std::string& path, const HttpHeaders& headers, const std::string& basic, Instant now);

    FeedAbout about_;
    std::string url_;
    AskHttp ask_;
    std::shared_ptr<CallLimit> limit_;
    std::chrono::milliseconds call_max_;
};

// Whether what is sent there is seen by nobody else, and the URL itself holds no password: https://, or http:// to this machine.
bool keeps_secrets(std::string_view url);

// What an answer that is not the wanted one means. `secrets` are what must not be in a message, whatever the server says.
FeedFailure failure_of_answer(const HttpAnswer& answer, const std::vector<std::string>& secrets, Instant now);

// A Retry-After header: seconds, or an HTTP date. Nothing for anything else, and for what is past.
std::optional<Seconds> retry_after(std::string_view header, Instant now);

inline tl::unexpected<FeedFailure> misconfigured(const Error& error) {
    return tl::unexpected<FeedFailure>({FeedProblem::misconfigured, error.message});
}

// Puts a report together from answers of which some may be missing.
template <SignalKind kind>
class Reports {
  public:
    void measured(Result<MeasuredSteps> steps) {
        if (steps) report_.measured = std::move(*steps);
        else missing({FeedProblem::garbage, "an answer of measured values that is none: " + steps.error().message});
    }
    void forecast(Result<Forecast<kind>> forecast) {
        if (forecast) report_.forecast = std::move(*forecast);
        else missing({FeedProblem::garbage, "an answer of a forecast that is none: " + forecast.error().message});
    }
    void missing(FeedFailure failure) { report_.missing = std::move(failure); }

    // A failure where nothing came at all.
    FeedResult<Report<kind>> done() {
        bool nothing = report_.measured.series.empty() && (!report_.forecast || report_.forecast->series.empty());
        if (!nothing) return std::move(report_);
        if (!report_.missing) return tl::unexpected<FeedFailure>({FeedProblem::garbage, "answers without a value"});
        return tl::unexpected(std::move(*report_.missing));
    }

  private:
    Report<kind> report_;
};

}  // namespace hyper::carbon
