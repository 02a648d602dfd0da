// SPDX-License-Identifier: Apache-2.0
// HTTP, by libcurl, which is included in http.cpp alone: one thread that has all transfers of a connection under way together.
//
// Who asks says what an answer means: providers/s3 in the vocabulary of providers, carbon/feeds in that of feeds.
//
// Design note. HTTP/1.1 and several kept-alive connections, not streams of one: over distance each connection brings its own window, and S3
// speaks nothing else. Certificates are always verified. Redirects are never followed: what is signed for one host is not for another, and who
// answers for a host must not send us to another one's inside. Nothing is tried twice, but on a kept connection that turns out to be closed.
// libcurl is initialised and cleaned up by count, blocks no signal of the process and installs no handler; the thread takes no signals.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "blockengine/base/result.h"

namespace hyper {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

enum class HttpProblem {
    unreachable,    // nobody there, or no whole answer in time: worth another try later
    given_up,       // whoever asked has stopped waiting, or the connection is being closed
    untrusted,      // the server's certificate is not good
    misconfigured,  // the URL, or the file of certificates
    internal,       // libcurl itself
};

// Its message holds no query of a URL, where a signature may be.
struct HttpFailure {
    HttpProblem problem = HttpProblem::internal;
    std::string message;
};

struct HttpAnswer {
    int status = 0;                      // 0: none came
    std::optional<HttpFailure> failure;  // why the answer did not come, or not to its end
    HttpHeaders headers;                 // names in lower case
    std::string text;                    // the body, where it did not go to the request's room
    bool text_cut = false;               // there was more of it than text_bytes_max
    size_t filled = 0;                   // bytes that went to the room
    uint32_t retry_after_ms = 0;

    // Empty where it is not there.
    std::string_view header(std::string_view name) const;
};

struct HttpRequest {
    std::string method = "GET";
    std::string url;
    HttpHeaders headers;
    std::string basic;                // USER:PASSWORD, sent as Basic authentication; empty: none
    std::span<const std::byte> body;  // stays until the request is done
    int64_t deadline_ns = 0;          // of CLOCK_MONOTONIC
    uint32_t connect_ms_max = 10'000;
    bool direct = false;              // by no proxy
    std::function<bool()> cancelled;  // asked about once a second, on the thread
    // Where the body goes if `takes`, asked once the headers are there, says so; what is more than the room is not waited for. Anything else goes
    // to the answer's text.
    std::span<std::byte> room;
    std::function<bool(const HttpAnswer&)> takes;
    size_t text_bytes_max = 64 * 1024;
};

// Thread-safe.
class Http {
  public:
    using Done = std::function<void(HttpAnswer&&)>;
    static constexpr uint32_t connections_max = 32;  // to one host

    // `ca_file`: whom to trust instead of the system's certificates. Errors: ENOTSUP where libcurl cannot be had as it is needed.
    static Result<std::unique_ptr<Http>> start(const std::string& ca_file = "");
    // What is under way ends with HttpProblem::given_up. Not to be called from done().
    ~Http();

    // `done` is called once, on the thread, at the deadline at the latest. It must not wait for another request.
    void begin(HttpRequest request, Done done);
    // Waits for it.
    HttpAnswer ask(HttpRequest request);

    // Whether libcurl here is good enough; empty, or what is missing.
    static std::string missing();

  private:
    class Loop;
    explicit Http(std::unique_ptr<Loop> loop);
    std::unique_ptr<Loop> loop_;
};

int64_t monotonic_ns();

}  // namespace hyper
