// SPDX-License-Identifier: Apache-2.0
#include "http/exchange.h"

#include <httplib.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <span>
#include <vector>

#include "blockengine/base/log.h"
#include "nbdserver/locks/tls.h"

namespace hyper::http {

namespace {

using Clock = std::chrono::steady_clock;

// The connection, as httplib wants it. Everything has to be done by a deadline, and no more than the limit is read.
class PeerStream : public httplib::Stream {
  public:
    PeerStream(int fd, TlsSession* tls, const Limits& limits)
        : fd_(fd), tls_(tls), limits_(limits), left_bytes_(limits.request_bytes_max), deadline_(Clock::now() + limits.request_max) {}

    // True when there is nothing to do, or it is done.
    bool shake_hands() {
        if (tls_ == nullptr) return true;
        for (;;) {
            auto done = tls_->handshake(ciphertext_);
            bool sent = send_all(tls_->take_output());
            if (!done) {
                log_debug("http: {}", done.error().message);
                send_all(tls_->farewell());
                return false;
            }
            if (!sent) return false;
            if (*done) return true;
            if (!receive()) return false;
        }
    }
    void say_goodbye() {
        if (tls_ != nullptr) send_all(tls_->farewell());
    }
    // For a client that is still sending what will not be read: closed at once, it would find its connection broken and never look at the answer.
    void let_it_finish() {
        ::shutdown(fd_, SHUT_WR);
        deadline_ = Clock::now() + std::chrono::milliseconds(500);
        for (size_t left = 1 << 20; left > 0 && wait(POLLIN);) {
            ssize_t got = ::recv(fd_, buffer_.data(), std::min(left, buffer_.size()), MSG_DONTWAIT);
            if (got <= 0) return;
            left -= static_cast<size_t>(got);
        }
    }
    // From now on the answer has its full time again.
    void restart() { deadline_ = Clock::now() + limits_.answer_max; }

    bool is_readable() const override { return left_bytes_ > 0 && (!plaintext_.empty() || wait(POLLIN)); }
    bool is_writable() const override { return wait(POLLOUT); }
    ssize_t read(char* to, size_t size) override {
        size = std::min(size, left_bytes_);
        if (size == 0) return -1;
        ssize_t got = tls_ == nullptr ? (wait(POLLIN) ? ::recv(fd_, to, size, MSG_DONTWAIT) : -1) : read_plaintext(to, size);
        if (got > 0) left_bytes_ -= static_cast<size_t>(got);
        return got;
    }
    ssize_t write(const char* from, size_t size) override {
        if (!answering_) restart();
        answering_ = true;
        if (tls_ == nullptr) return wait(POLLOUT) ? ::send(fd_, from, size, MSG_DONTWAIT | MSG_NOSIGNAL) : -1;
        size = std::min(size, size_t{1} << 14);
        std::vector<std::byte> sealed(TlsSession::sealed_bytes_max(size));
        std::span<const std::byte> part = std::as_bytes(std::span(from, size));
        auto used = tls_->write({&part, 1}, sealed);
        if (!used) return -1;
        sealed.resize(*used);
        return send_all(sealed) ? static_cast<ssize_t>(size) : -1;
    }
    void get_remote_ip_and_port(std::string&, int&) const override {}
    void get_local_ip_and_port(std::string&, int&) const override {}
    int socket() const override { return fd_; }

  private:
    bool wait(short event) const {
        auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now()).count();
        pollfd poll_fd{fd_, event, 0};
        return left > 0 && ::poll(&poll_fd, 1, static_cast<int>(left)) == 1;
    }
    // More ciphertext, once what there was is used up.
    bool receive() {
        if (!wait(POLLIN)) return false;
        ssize_t got = ::recv(fd_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
        if (got <= 0) return false;
        ciphertext_ = {buffer_.data(), static_cast<size_t>(got)};
        return true;
    }
    ssize_t read_plaintext(char* to, size_t size) {
        while (plaintext_.empty()) {
            auto more = tls_->read(ciphertext_);
            if (!more) return -1;
            plaintext_ = *more;
            if (plaintext_.empty() && tls_->ended()) return 0;
            if (plaintext_.empty() && !receive()) return -1;
        }
        size_t count = std::min(size, plaintext_.size());
        std::memcpy(to, plaintext_.data(), count);
        plaintext_ = plaintext_.subspan(count);
        return static_cast<ssize_t>(count);
    }
    bool send_all(std::span<const std::byte> bytes) {
        while (!bytes.empty()) {
            if (!wait(POLLOUT)) return false;
            ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
            if (sent < 0 && errno != EAGAIN && errno != EINTR) return false;
            if (sent > 0) bytes = bytes.subspan(static_cast<size_t>(sent));
        }
        return true;
    }

    const int fd_;
    TlsSession* const tls_;
    const Limits& limits_;
    size_t left_bytes_;
    bool answering_ = false;
    Clock::time_point deadline_;
    std::array<std::byte, 16 << 10> buffer_{};
    std::span<const std::byte> ciphertext_, plaintext_;
};

Request request_of(const httplib::Request& from) {
    Request request{from.method, from.path, {}, {}, from.body};
    for (const auto& [name, value] : from.params) request.parameters.emplace_back(name, value);
    for (const auto& [name, value] : from.headers) {
        std::string lower = name;
        std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        request.headers.emplace_back(std::move(lower), value);
    }
    return request;
}

// Why the body will not be read; a status, or 0.
int refusal_of_body(const httplib::Request& request, size_t body_bytes_max) {
    if (request.has_header("Transfer-Encoding")) return 411;
    if (request.has_header("Content-Encoding")) return 415;
    if (request.get_header_value_count("Content-Length") > 1) return 400;
    std::string length = request.get_header_value("Content-Length");
    if (length.empty()) return 0;
    if (length.size() > 12 || !std::ranges::all_of(length, [](unsigned char c) { return std::isdigit(c); })) return 400;
    return std::stoull(length) > body_bytes_max ? 413 : 0;
}

const char* message_of(int status) {
    switch (status) {
        case 411:
            return "the body must come with its length (Content-Length), not in chunks";
        case 413:
            return "the body is too long";
        case 415:
            return "the body must not be compressed";
        default:
            return "not a request that is understood";
    }
}

// httplib parses requests and writes responses; it neither listens nor owns a thread here.
class Http : public httplib::Server {
  public:
    Http(PeerStream& stream, const Limits& limits, const http::Handler& handler) : stream_(stream), limits_(limits), handler_(handler) {
        svr_sock_ = stream.socket();  // else answers in pieces would end at once, as if the server were being stopped
        set_payload_max_length(limits.body_bytes_max);
        set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) { return before_body(request, response); });
        auto with_body = [this](const httplib::Request& request, httplib::Response& response) { give(handler_.answer(request_of(request)), response); };
        // Only requests with a body come so far.
        Post(".*", Server::Handler(with_body));
        Put(".*", Server::Handler(with_body));
        Patch(".*", Server::Handler(with_body));
        Delete(".*", Server::Handler(with_body));
        set_error_handler(Server::Handler([this](const httplib::Request&, httplib::Response& response) {
            if (response.body.empty()) give(handler_.malformed(response.status, message_of(response.status)), response);
        }));
    }
    // Whether a body was left unread.
    bool serve() {
        bool closed = false;
        process_request(stream_, true, closed, [](httplib::Request& request) { request.ranges.clear(); });
        return unread_;
    }

  private:
    HandlerResponse before_body(const httplib::Request& from, httplib::Response& response) {
        if (int status = refusal_of_body(from, limits_.body_bytes_max); status != 0) {
            unread_ = true;
            give(handler_.malformed(status, message_of(status)), response);
            return HandlerResponse::Handled;
        }
        Request request = request_of(from);
        auto refused = handler_.refuse ? handler_.refuse(request) : std::nullopt;
        std::string length = from.get_header_value("Content-Length");
        bool has_body = length.find_first_not_of('0') != std::string::npos;
        if (!refused && has_body) return HandlerResponse::Unhandled;
        unread_ = has_body;
        give(refused ? std::move(*refused) : handler_.answer(request), response);
        return HandlerResponse::Handled;
    }
    void give(Answer answer, httplib::Response& response) {
        response.status = answer.status;
        for (const auto& [name, value] : answer.headers) response.set_header(name, value);
        if (!answer.next_piece) {
            response.set_content(std::move(answer.body), answer.content_type);
            return;
        }
        response.set_chunked_content_provider(answer.content_type, [this, next = std::move(answer.next_piece)](size_t, httplib::DataSink& sink) {
            auto piece = next();
            stream_.restart();
            if (piece) return sink.write(piece->data(), piece->size());
            sink.done();
            return true;
        });
    }

    PeerStream& stream_;
    const Limits& limits_;
    const http::Handler& handler_;
    bool unread_ = false;
};

}  // namespace

void serve(int fd, TlsSession* tls, const Limits& limits, const Handler& handler) {
    PeerStream stream(fd, tls, limits);
    if (!stream.shake_hands()) return;
    bool unread = Http(stream, limits, handler).serve();
    stream.say_goodbye();
    if (unread) stream.let_it_finish();
}

}  // namespace hyper::http
