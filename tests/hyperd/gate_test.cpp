// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/gate.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace hyper::hyperd {

namespace {

const std::string token = "0123456789abcdef0123456789abcdef";
constexpr RateLimit::Time begin{std::chrono::hours(1000)};

class GateTest : public testing::Test {
  protected:
    GateTest() {
        GateRules rules;
        rules.tokens = *Tokens::parse("watcher read " + token, "t");
        rules.hosts = {"backup.example"};
        rules.group = 4711;
        gate.change(std::move(rules));
        local.local = true;
        local.uid = ::geteuid();
        local.origin = "uid";
        remote.origin = "192.0.2.1";
        request.method = "GET";
        request.path = "/v1/jobs";
        request.headers = {{"host", "localhost"}};
    }
    // The status of the refusal, or 0.
    int status(const Peer& peer, bool tls = false) {
        auto judged = gate.judge(request, peer, tls, begin);
        auto* answer = std::get_if<http::Answer>(&judged);
        return answer == nullptr ? 0 : answer->status;
    }
    void set(const std::string& name, const std::string& value) {
        std::erase_if(request.headers, [&](const auto& field) { return field.first == name; });
        request.headers.emplace_back(name, value);
    }

    Gate gate{GateRules{}};
    Peer local, remote;
    http::Request request;
};

TEST_F(GateTest, our_user_may_do_everything_on_the_socket) {
    auto judged = gate.judge(request, local, false, begin);
    ASSERT_TRUE(std::holds_alternative<Caller>(judged));
    EXPECT_TRUE(std::get<Caller>(judged).may(Scope::admin));
}

TEST_F(GateTest, another_user_is_refused_on_the_socket) {
    local.uid = 12345;
    if (::geteuid() == 12345) GTEST_SKIP();
    EXPECT_EQ(status(local), 403);
    local.uid.reset();
    EXPECT_EQ(status(local), 403);
}

TEST_F(GateTest, a_member_of_the_group_may_look_and_run_but_not_change) {
    local.uid = 12345;
    local.groups = {1, 4711};
    auto judged = gate.judge(request, local, false, begin);
    ASSERT_TRUE(std::holds_alternative<Caller>(judged));
    EXPECT_TRUE(std::get<Caller>(judged).may(Scope::run));
    EXPECT_FALSE(std::get<Caller>(judged).may(Scope::admin));
}

TEST_F(GateTest, who_comes_by_tcp_needs_a_token) {
    EXPECT_EQ(status(remote), 401);
    set("authorization", "Bearer nonsense");
    EXPECT_EQ(status(remote), 401);
    set("authorization", "Basic " + token);
    EXPECT_EQ(status(remote), 401);
    set("authorization", "bearer " + token);
    EXPECT_EQ(status(remote), 0);
}

TEST_F(GateTest, a_token_is_of_no_use_to_a_stranger_on_the_socket) {
    local.uid = 12345;
    set("authorization", "Bearer " + token);
    EXPECT_EQ(status(local), 403);
}

TEST_F(GateTest, a_foreign_host_is_refused) {
    for (std::string host : {"localhost:80", "LOCALHOST", "127.0.0.1:1", "[::1]:8443", "backup.example:8443"}) {
        set("host", host);
        EXPECT_EQ(status(local), 0) << host;
    }
    for (std::string host : {"evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "", "[::1", "192.0.2.1"}) {
        set("host", host);
        EXPECT_EQ(status(local), 421) << host;
    }
    request.headers.clear();
    EXPECT_EQ(status(local), 421);
}

TEST_F(GateTest, behind_tls_the_certificate_says_which_host_it_is) {
    set("authorization", "Bearer " + token);
    set("host", "backup.example.net");
    EXPECT_EQ(status(remote), 421);
    EXPECT_EQ(status(remote, true), 0);
}

TEST_F(GateTest, a_page_of_another_origin_is_refused) {
    set("origin", "https://evil.example");
    EXPECT_EQ(status(local), 403);
    set("origin", "null");
    EXPECT_EQ(status(local), 403);
    set("origin", "http://localhost");
    EXPECT_EQ(status(local), 0);
}

TEST_F(GateTest, a_body_that_is_not_json_is_refused) {
    set("content-length", "2");
    EXPECT_EQ(status(local), 415);
    for (std::string type : {"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp"}) {
        set("content-type", type);
        EXPECT_EQ(status(local), 415) << type;
    }
    set("content-type", "Application/JSON; charset=utf-8");
    EXPECT_EQ(status(local), 0);
}

TEST_F(GateTest, a_path_with_a_control_character_is_refused) {
    request.path = "/v1/jobs/a\nb";
    EXPECT_EQ(status(local), 400);
}

TEST_F(GateTest, too_many_requests_are_told_when_to_come_again) {
    for (int i = 0; i < static_cast<int>(Gate::requests_burst); ++i) EXPECT_EQ(status(local), 0);
    auto judged = gate.judge(request, local, false, begin);
    ASSERT_TRUE(std::holds_alternative<http::Answer>(judged));
    const auto& answer = std::get<http::Answer>(judged);
    EXPECT_EQ(answer.status, 429);
    ASSERT_EQ(answer.headers.size(), 1u);
    EXPECT_EQ(answer.headers[0], (std::pair<std::string, std::string>("Retry-After", "1")));
}

TEST_F(GateTest, guesses_of_tokens_are_limited_too) {
    for (int i = 0; i < static_cast<int>(Gate::requests_burst); ++i) EXPECT_EQ(status(remote), 401);
    EXPECT_EQ(status(remote), 429);
}

}  // namespace

}  // namespace hyper::hyperd
