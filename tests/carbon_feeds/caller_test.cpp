// SPDX-License-Identifier: Apache-2.0
// What answers mean, by the real HTTP client and a server that answers as it is told.
#include "carbon/feeds/caller.h"

#include <gtest/gtest.h>

#include "carbon/feeds/poll_thread.h"
#include "carbon/feeds/token_file.h"
#include "tests/carbon_feeds/scratch.h"
#include "tests/providers/s3/scripted_server.h"

namespace hyper::carbon {
namespace {

using namespace std::chrono;
using s3::ScriptedServer;
using s3::SeenRequest;

constexpr Instant now = sys_days(2026y / March / 1) + hours(12);

class FeedCalls : public testing::Test {
  protected:
    Caller caller(const std::string& url, uint32_t per_minute = 0) {
        return Caller({"test", "direct", hours(1)}, url, ask_by(*http_, stop_), std::make_shared<CallLimit>(per_minute, 0, ""));
    }
    // What a caller makes of that answer.
    FeedFailure failure(const std::string& status, const std::string& headers = "", const std::string& body = "", const HttpHeaders& sent = {}) {
        ScriptedServer server([&](const SeenRequest&) { return ScriptedServer::answer(status, headers, body); });
        auto text = caller(server.url()).get("/x", sent, now);
        return text ? FeedFailure{FeedProblem::garbage, "an answer: " + *text} : text.error();
    }

    std::unique_ptr<Http> http_ = Http::start().value();
    Stop stop_;
};

TEST_F(FeedCalls, give_the_text_of_a_good_answer) {
    ScriptedServer server([](const SeenRequest&) { return ScriptedServer::answer("200 OK", "", "{\"a\":1}"); });
    EXPECT_EQ(*caller(server.url()).get("/v3/x?zone=DE", {{"auth-token", "hunter2"}}, now), "{\"a\":1}");
    EXPECT_EQ(server.seen()[0].line, "GET /v3/x?zone=DE HTTP/1.1");
    EXPECT_EQ(server.seen()[0].header("auth-token"), "hunter2");
}

TEST_F(FeedCalls, log_in_by_name_and_password) {
    ScriptedServer server([](const SeenRequest&) { return ScriptedServer::answer("200 OK", "", "{}"); });
    ASSERT_TRUE(caller(server.url()).get_as("/login", "freddo:the frog", now));
    EXPECT_EQ(server.seen()[0].header("Authorization"), "Basic ZnJlZGRvOnRoZSBmcm9n");
}

TEST_F(FeedCalls, are_not_allowed) {
    EXPECT_EQ(failure("401 Unauthorized").problem, FeedProblem::not_allowed);
    FeedFailure forbidden = failure("403 Forbidden", "", R"({"message":"Token unauthorized for zoneKey \"DE\""})");
    EXPECT_EQ(forbidden.problem, FeedProblem::not_allowed);
    EXPECT_EQ(forbidden.message, "403 (Token unauthorized for zoneKey \"DE\")");
}

TEST_F(FeedCalls, are_too_many) {
    FeedFailure busy = failure("429 Too Many Requests", "Retry-After: 90\r\n");
    EXPECT_EQ(busy.problem, FeedProblem::too_many);
    EXPECT_EQ(busy.message, "429 (too many requests)");
    EXPECT_EQ(busy.retry_after, seconds(90));
    EXPECT_EQ(failure("429 Too Many Requests", "Retry-After: Sun, 01 Mar 2026 12:05:00 GMT\r\n").retry_after, minutes(5));
    EXPECT_EQ(failure("429 Too Many Requests").retry_after, seconds(0));
}

TEST_F(FeedCalls, find_the_service_down) {
    EXPECT_EQ(failure("503 Service Unavailable", "Retry-After: 7\r\n").problem, FeedProblem::unavailable);
    EXPECT_EQ(failure("503 Service Unavailable", "Retry-After: 7\r\n").retry_after, seconds(7));
    std::string url;
    { url = ScriptedServer([](const SeenRequest&) { return ""; }).url(); }
    EXPECT_EQ(caller(url).get("/x", {}, now).error().problem, FeedProblem::unavailable);
}

TEST_F(FeedCalls, are_about_what_is_not_offered) {
    EXPECT_EQ(failure("404 Not Found").problem, FeedProblem::not_offered);
    EXPECT_EQ(failure("422 Unprocessable Entity", "", R"({"detail":[{"loc":["query"],"msg":"no","type":"x"}]})").message, "422");
    EXPECT_EQ(failure("400 Bad Request", "", R"({"error":{"code":"400 Bad Request","message":"no such date"}})").message, "400 (no such date)");
}

TEST_F(FeedCalls, take_a_redirect_for_no_answer) {
    EXPECT_EQ(failure("302 Found", "Location: http://127.0.0.1:1/\r\n").problem, FeedProblem::garbage);
}

TEST_F(FeedCalls, take_a_body_that_breaks_off_for_no_answer) {
    ScriptedServer server([](const SeenRequest&) {
        std::string whole = ScriptedServer::answer("200 OK", "", "{\"zone\":\"DE\"}");
        return whole.substr(0, whole.size() - 3);
    });
    EXPECT_EQ(caller(server.url()).get("/x", {}, now).error().problem, FeedProblem::unavailable);
}

TEST_F(FeedCalls, take_no_answer_without_end) {
    FeedFailure failed = failure("200 OK", "", std::string(Caller::answer_bytes_max + 1, ' '));
    EXPECT_EQ(failed.problem, FeedProblem::garbage);
    EXPECT_EQ(failed.message, "an answer of more than 2097152 bytes");
}

TEST_F(FeedCalls, show_no_secret_that_a_server_sends_back) {
    FeedFailure echoed = failure("403 Forbidden", "", R"({"message":"no such token: hunter2"})", {{"Authorization", "Bearer hunter2"}});
    EXPECT_EQ(echoed.message, "403");
    EXPECT_EQ(failure("403 Forbidden", "", "{\"message\":\"a\\nb\\u001b[31m\"}").message, "403 (a?b?[31m)");
}

TEST_F(FeedCalls, go_to_other_machines_by_https_alone) {
    int asked = 0;
    auto count = [&](HttpRequest) {
        asked++;
        return HttpAnswer{};
    };
    for (const char* url : {"http://api.example.com", "http://127.0.0.1.example.com", "http://localhost:80@example.com", "ftp://127.0.0.1", ""}) {
        Caller plain({"test", "direct", hours(1)}, url, count, std::make_shared<CallLimit>(0, 0, ""));
        EXPECT_EQ(plain.get("/x", {}, now).error().problem, FeedProblem::misconfigured) << url;
    }
    EXPECT_EQ(asked, 0);
    Caller good({"test", "direct", hours(1)}, "https://api.example.com", count, std::make_shared<CallLimit>(0, 0, ""));
    EXPECT_FALSE(good.get("/x", {}, now));
    EXPECT_EQ(asked, 1);
}

TEST_F(FeedCalls, are_no_more_than_the_limit) {
    ScriptedServer server([](const SeenRequest&) { return ScriptedServer::answer("200 OK", "", "{}"); });
    Caller limited = caller(server.url(), 1);
    EXPECT_TRUE(limited.get("/x", {}, now));
    auto second = limited.get("/x", {}, now + seconds(20));
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().problem, FeedProblem::too_many);
    EXPECT_EQ(second.error().retry_after, seconds(40));
    EXPECT_EQ(server.seen().size(), 1u);
}

TEST_F(FeedCalls, end_when_the_program_does) {
    ScriptedServer silent([&](const SeenRequest&) {
        stop_.tell();
        return "";
    });
    EXPECT_EQ(caller(silent.url()).get("/x", {}, now).error().problem, FeedProblem::unavailable);
}

TEST(RetryAfter, is_seconds_or_a_date) {
    EXPECT_EQ(retry_after("120", now), seconds(120));
    EXPECT_EQ(retry_after("Sun, 01 Mar 2026 12:00:30 GMT", now), seconds(30));
    EXPECT_EQ(retry_after("99999999999999999999", now), hours(24)) << "bounded";
    for (const char* nothing : {"", "0", "-5", "soon", "Sun, 01 Mar 2026 11:00:00 GMT", "1.5"})
        EXPECT_EQ(retry_after(nothing, now), std::nullopt) << nothing;
}

TEST(TokenFile, holds_one_line_that_others_may_not_read) {
    Scratch scratch;
    EXPECT_EQ(*read_token_file(scratch.secret("a", "hunter2\n")), "hunter2");
    EXPECT_EQ(read_token_file(scratch.secret("b", "")).error().code, EINVAL);
    EXPECT_EQ(read_token_file(scratch.secret("c", "one\nHost: two\n")).error().code, EINVAL);
    EXPECT_EQ(read_token_file(scratch.secret("d", std::string(5000, 'x'))).error().code, EINVAL);
    EXPECT_EQ(read_token_file(scratch.path("none")).error().code, ENOENT);
    std::string open = scratch.secret("e", "hunter2");
    std::filesystem::permissions(open, std::filesystem::perms(0644));
    auto refused = read_token_file(open);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, EPERM);
    EXPECT_EQ(refused.error().message.find("hunter2"), std::string::npos);
}

}  // namespace
}  // namespace hyper::carbon
