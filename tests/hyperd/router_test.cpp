// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/router.h"

#include <gtest/gtest.h>

namespace hyper::hyperd {

namespace {

class RouterTest : public testing::Test {
  protected:
    RouterTest() {
        request.method = "GET";
        request.path = "/v1/jobs/db/logs";
    }
    http::Answer ask() { return router.answer(request, caller); }
    static Json parsed(const http::Answer& answer) { return Json::parse(answer.body); }

    Router router{{
        {"GET", "/v1/jobs/{job}/logs", "logs", "", Scope::read, {{"job", "path", "", 0}, {"limit", "query", "", 100}}, "", {200, "", ""},
         [](const Call& call) { return json_answer({{"job", call.at("job")}, {"limit", call.number("limit", 7)}}); }},
        {"DELETE", "/v1/jobs/{job}/logs", "drop", "", Scope::admin, {{"job", "path", "", 0}}, "", {200, "", ""}, [](const Call&) { return json_answer({}); }},
        {"POST", "/v1/jobs", "add", "", Scope::admin, {}, "Job", {201, "", ""}, [](const Call& call) { return json_answer(call.body, 201); }},
    }};
    http::Request request;
    Caller caller{"test", all_scopes};
};

TEST_F(RouterTest, finds_the_route_and_takes_its_path_apart) {
    EXPECT_EQ(parsed(ask()), (Json{{"job", "db"}, {"limit", 7}}));
    request.parameters = {{"limit", "100"}};
    EXPECT_EQ(parsed(ask())["limit"], 100);
}

TEST_F(RouterTest, a_path_that_is_none_is_404) {
    for (std::string path : {"/", "", "/v1/jobs/db", "/v1/jobs/db/logs/", "/v1/jobs/db/logs/x", "v1/jobs/db/logs"}) {
        request.path = path;
        EXPECT_EQ(ask().status, 404) << path;
    }
}

TEST_F(RouterTest, a_wrong_method_is_told_the_right_ones) {
    request.method = "PUT";
    auto answer = ask();
    EXPECT_EQ(answer.status, 405);
    EXPECT_EQ(answer.headers.at(0).second, "GET, DELETE");
}

TEST_F(RouterTest, a_scope_that_lacks_is_403_and_named) {
    caller.scopes = static_cast<uint8_t>(Scope::read) | static_cast<uint8_t>(Scope::run);
    EXPECT_EQ(ask().status, 200);
    request.method = "DELETE";
    auto answer = ask();
    EXPECT_EQ(answer.status, 403);
    EXPECT_EQ(parsed(answer)["value"], "admin");
}

TEST_F(RouterTest, a_parameter_that_is_unknown_or_wrong_is_named) {
    for (auto [name, value] : {std::pair("limit", "101"), std::pair("limit", "-1"), std::pair("limit", "x"), std::pair("limit", ""), std::pair("other", "1")}) {
        request.parameters = {{name, value}};
        auto answer = ask();
        EXPECT_EQ(answer.status, 422);
        EXPECT_EQ(answer.content_type, "application/problem+json");
        EXPECT_EQ(parsed(answer)["field"], std::string("query.") + name);
        EXPECT_EQ(parsed(answer)["value"], value);
    }
}

TEST_F(RouterTest, a_body_must_be_an_object_where_one_is_wanted) {
    request.method = "POST";
    request.path = "/v1/jobs";
    for (std::string body : {"", "[]", "1", "{", "nonsense", "{\"a\":1}x"}) {
        request.body = body;
        EXPECT_EQ(ask().status, 422) << body;
    }
    request.body = "{\"a\":1}";
    EXPECT_EQ(ask().status, 201);
}

TEST_F(RouterTest, deep_json_does_no_harm) {
    request.method = "POST";
    request.path = "/v1/jobs";
    request.body = "{\"a\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
    EXPECT_EQ(ask().status, 422);
    request.body = "{\"a\": \"" + std::string(1000, '[') + "\\\"\"}";
    EXPECT_EQ(ask().status, 201);
}

}  // namespace

}  // namespace hyper::hyperd
