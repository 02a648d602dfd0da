// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/cost_question.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace hyper::hyperd {

namespace {

const Instant now = *parse_instant("2026-11-23T12:00:00Z");

std::string refusal(std::string_view json) {
    auto question = parse_estimate_question(json, now);
    return question ? "it was taken" : question.error().message;
}

TEST(CostQuestionJson, has_all_that_a_command_line_can_say) {
    auto question = parse_estimate_question(R"({"from": "aws:us-east-1", "to": "gcp:us-central1/standard", "changed_bytes": 100, "sent_bytes": 50, "part_bytes": 1024,
        "runs": 3, "every": "24h", "keep": "last=7", "disk_bytes": 1000, "sent_before_bytes": 7, "day": "2026-11-01"})", now);
    ASSERT_TRUE(question) << question.error().message;
    EXPECT_EQ(question->asked.from->text(), "aws:us-east-1");
    EXPECT_EQ(question->to->text(), "gcp:us-central1/standard");
    EXPECT_EQ(question->asked.changed_bytes, 100);
    EXPECT_EQ(question->asked.sent_bytes, 50);
    EXPECT_EQ(question->asked.part_bytes, 1024);
    EXPECT_EQ(question->asked.runs, 3);
    EXPECT_EQ(question->asked.every, Seconds(86400));
    EXPECT_EQ(question->asked.keep->keep_last, 7u);
    EXPECT_EQ(question->asked.disk_bytes, 1000);
    EXPECT_EQ(question->asked.sent_before_bytes, 7);
    EXPECT_EQ(question->asked.when, *parse_instant("2026-11-01"));
    auto compared = parse_compare_question(R"({"changed_bytes": 1, "targets": ["aws:us-east-1/ia", "aws:us-east-1/standard"]})", now);
    ASSERT_TRUE(compared) << compared.error().message;
    EXPECT_EQ(compared->targets.size(), 2u);
    EXPECT_EQ(compared->asked.when, now) << "prices of today";
}

TEST(CostQuestionJson, is_refused_with_the_key_that_is_wrong) {
    EXPECT_NE(refusal(R"({"changed": 1})").find("unknown key changed; did you mean changed_bytes?"), std::string::npos) << refusal(R"({"changed": 1})");
    EXPECT_NE(refusal(R"({"changed_bytes": -1})").find("changed_bytes: is a whole number"), std::string::npos);
    EXPECT_NE(refusal(R"({"from": "nowhere"})").find("from: \"nowhere\" is no place"), std::string::npos);
    EXPECT_NE(refusal(R"({"keep": "all"})").find("keep: "), std::string::npos);
    EXPECT_NE(refusal(R"({"targets": []})").find("unknown key targets"), std::string::npos) << "those are of a comparison";
}

TEST(CostQuestionJson, has_schemas) {
    EXPECT_TRUE(nlohmann::json::parse(estimate_question_schema())["properties"].contains("to"));
    EXPECT_TRUE(nlohmann::json::parse(compare_question_schema())["properties"].contains("targets"));
}

}  // namespace

}  // namespace hyper::hyperd
