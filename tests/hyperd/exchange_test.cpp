// SPDX-License-Identifier: Apache-2.0
// HTTP on a connection, from the first byte to the last: what is taken, what is refused, and that nothing lasts.
#include "http/exchange.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

namespace hyper::http {

namespace {

class ExchangeTest : public testing::Test {
  protected:
    ExchangeTest() {
        limits.body_bytes_max = 100;
        limits.request_bytes_max = 4096;
        handler.answer = [this](const Request& request) {
            seen = request;
            return answer;
        };
        handler.malformed = [](int status, const std::string& message) { return Answer{status, "text/plain", message}; };
    }
    // What comes back, until the server closes.
    std::string exchange(const std::string& bytes, bool close_after = false) {
        int ends[2];
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        std::thread server([&] {
            serve(ends[0], nullptr, limits, handler);
            ::close(ends[0]);
        });
        for (size_t done = 0; done < bytes.size();) {
            ssize_t sent = ::send(ends[1], bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
            if (sent <= 0) break;
            done += static_cast<size_t>(sent);
        }
        if (close_after) ::shutdown(ends[1], SHUT_WR);
        std::string got;
        char buffer[4096];
        for (ssize_t size; (size = ::recv(ends[1], buffer, sizeof buffer, 0)) > 0;) got.append(buffer, static_cast<size_t>(size));
        ::close(ends[1]);
        server.join();
        return got;
    }
    static std::string status_of(const std::string& reply) { return reply.substr(0, 12); }

    Limits limits;
    Handler handler;
    Request seen;
    Answer answer{200, "text/plain", "hello"};
};

TEST_F(ExchangeTest, a_request_is_taken_apart) {
    auto reply = exchange("POST /a%20b?x=1&y=%26 HTTP/1.1\r\nHost: localhost\r\nX-One: two\r\nContent-Length: 4\r\n\r\nbody");
    EXPECT_EQ(status_of(reply), "HTTP/1.1 200");
    EXPECT_TRUE(reply.ends_with("hello"));
    EXPECT_EQ(seen.method, "POST");
    EXPECT_EQ(seen.path, "/a b");
    EXPECT_EQ(seen.parameter("y"), "&");
    EXPECT_EQ(seen.header("x-one"), "two");
    EXPECT_EQ(seen.body, "body");
}

TEST_F(ExchangeTest, a_body_over_the_limit_is_not_read) {
    EXPECT_EQ(status_of(exchange("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 101\r\n\r\n")), "HTTP/1.1 413");
    EXPECT_EQ(status_of(exchange("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n")), "HTTP/1.1 400");
}

TEST_F(ExchangeTest, chunks_compression_and_two_lengths_are_refused) {
    EXPECT_EQ(status_of(exchange("POST / HTTP/1.1\r\nHost: l\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")), "HTTP/1.1 411");
    EXPECT_EQ(status_of(exchange("POST / HTTP/1.1\r\nHost: l\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")), "HTTP/1.1 415");
    EXPECT_EQ(status_of(exchange("POST / HTTP/1.1\r\nHost: l\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")), "HTTP/1.1 400");
    EXPECT_EQ(status_of(exchange("POST / HTTP/1.1\r\nHost: l\r\nContent-Length: -3\r\n\r\n")), "HTTP/1.1 400");
}

TEST_F(ExchangeTest, a_refusal_comes_before_the_body) {
    handler.refuse = [](const Request&) { return Answer{403, "text/plain", "no"}; };
    EXPECT_EQ(status_of(exchange("POST / HTTP/1.1\r\nHost: l\r\nContent-Length: 50\r\n\r\n")), "HTTP/1.1 403");
    EXPECT_EQ(seen.method, "");
}

TEST_F(ExchangeTest, headers_over_the_limit_end_the_request) {
    std::string many;
    for (int i = 0; i < 200; ++i) many += "X-Header-" + std::to_string(i) + ": " + std::string(50, 'x') + "\r\n";
    EXPECT_NE(status_of(exchange("GET / HTTP/1.1\r\nHost: l\r\n" + many + "\r\n")), "HTTP/1.1 200");
    EXPECT_EQ(seen.method, "");
}

TEST_F(ExchangeTest, nonsense_is_answered_or_cut_and_never_handled) {
    for (std::string bytes : {std::string("nonsense\r\n\r\n"), std::string("GET\r\n\r\n"), std::string(3000, 'A'), std::string("\0\0\0\0\r\n\r\n", 8), std::string("GET / HTTP/9\r\n\r\n")}) {
        exchange(bytes, true);
        EXPECT_EQ(seen.method, "") << bytes.substr(0, 20);
    }
}

TEST_F(ExchangeTest, a_slow_request_is_cut) {
    limits.request_max = std::chrono::milliseconds(100);
    exchange("GET / HTTP/1.1\r\nHost: l\r\n");
    EXPECT_EQ(seen.method, "");
}

TEST_F(ExchangeTest, ranges_are_not_honoured) {
    auto reply = exchange("GET / HTTP/1.1\r\nHost: l\r\nRange: bytes=1-2\r\n\r\n");
    EXPECT_EQ(status_of(reply), "HTTP/1.1 200");
    EXPECT_TRUE(reply.ends_with("hello"));
}

TEST_F(ExchangeTest, an_answer_in_pieces_comes_piece_by_piece) {
    answer.next_piece = [left = 3]() mutable -> std::optional<std::string> {
        if (left-- == 0) return std::nullopt;
        return "piece\n";
    };
    auto reply = exchange("GET / HTTP/1.1\r\nHost: l\r\n\r\n");
    EXPECT_TRUE(reply.ends_with("6\r\npiece\n\r\n6\r\npiece\n\r\n6\r\npiece\n\r\n0\r\n\r\n")) << reply;
}

TEST_F(ExchangeTest, a_path_may_hold_any_bytes) {
    exchange("GET /a%00b%0a HTTP/1.1\r\nHost: l\r\n\r\n");
    EXPECT_EQ(seen.path, std::string("/a\0b\n", 5));
}

}  // namespace

}  // namespace hyper::http
