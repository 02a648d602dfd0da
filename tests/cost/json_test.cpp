// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost/import/json.h"

#include <gtest/gtest.h>

#include <sstream>

namespace hyper::scheduler {
namespace {

Result<JsonValue> read(const std::string& text) {
    std::istringstream in(text);
    return read_json_tree(in, "feed.json");
}

TEST(PriceJson, keeps_numbers_as_they_were_written) {
    auto tree = read(R"({"price": 0.0177, "small": 2E-06, "long": 0.10000000000000000001, "whole": 20000000, "below": -3, "text": "0.05", "none": null, "is": true})");
    ASSERT_TRUE(tree) << tree.error().message;
    EXPECT_EQ(tree->text_of("price"), "0.0177");
    EXPECT_EQ(tree->text_of("small"), "2E-06");
    EXPECT_EQ(tree->text_of("long"), "0.10000000000000000001");
    EXPECT_EQ(tree->text_of("whole"), "20000000");
    EXPECT_EQ(tree->text_of("below"), "-3");
    EXPECT_EQ(tree->text_of("text"), "0.05");
    EXPECT_EQ(tree->text_of("is"), "true");
    EXPECT_EQ(tree->text_of("none"), "");
    EXPECT_EQ(tree->text_of("absent"), "");
}

TEST(PriceJson, says_where_a_file_breaks_off) {
    auto tree = read(R"({"Items": [{"a": 1}, {"b")");
    ASSERT_FALSE(tree);
    EXPECT_EQ(tree.error().code, EINVAL);
    EXPECT_NE(tree.error().message.find("feed.json: byte "), std::string::npos) << tree.error().message;
    EXPECT_FALSE(read(""));
    EXPECT_FALSE(read("{} {}"));
    EXPECT_FALSE(read("{\"a\": \"\xff\"}"));
}

TEST(PriceJson, refuses_what_would_take_the_stack_or_the_memory) {
    EXPECT_TRUE(read(std::string(64, '[') + std::string(64, ']')));
    EXPECT_FALSE(read(std::string(65, '[') + std::string(65, ']')));
    EXPECT_FALSE(read(std::string(10'000'000, '['))) << "ten million of them";
    EXPECT_TRUE(read("\"" + std::string(1'000'000, 'x') + "\""));
    EXPECT_FALSE(read("\"" + std::string(2'000'000, 'x') + "\""));
    std::string quotes = "\"";
    for (int i = 0; i < 700'000; i++) quotes += "\\\"x";
    EXPECT_FALSE(read(quotes + "\"")) << "a quote within it does not end a text";
    EXPECT_FALSE(read(std::string(2'000'000, '1'))) << "a number";
    std::string numbers = "[0";
    for (int i = 0; i < 500'000; i++) numbers += ",12";
    EXPECT_TRUE(read(numbers + "]")) << "a long array is none";
    std::string many = "[0";
    for (int i = 0; i < 2'000'000; i++) many += ",0";
    EXPECT_EQ(read(many + "]").error().code, EFBIG);
}

}  // namespace
}  // namespace hyper::scheduler
