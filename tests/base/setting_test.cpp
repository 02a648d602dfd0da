// SPDX-License-Identifier: Apache-2.0
#include "blockengine/base/setting.h"

#include <gtest/gtest.h>

namespace hyper {
namespace {

TEST(Setting, takes_no_key_of_other_letters) {
    EXPECT_FALSE(parse_toml("a\uFE7F = 1", "f.toml"));
    EXPECT_FALSE(parse_toml("\uFE7F = 1", "f.toml"));
}

TEST(Setting, bounds_how_deep_it_goes) {
    std::string names;
    for (int i = 0; i < 300'000; i++) names += "a.";
    EXPECT_FALSE(parse_toml(names + "a = 1", "f.toml"));
    EXPECT_FALSE(parse_toml("a = " + std::string(300'000, '[') + std::string(300'000, ']'), "f.toml"));
}

TEST(Setting, knows_lines_and_paths_of_toml) {
    auto top = parse_toml("a = 1\n[b.c]\nd = [\"x\", true]\n", "f.toml");
    ASSERT_TRUE(top) << top.error().message;
    const Setting* d = top->find("b")->find("c")->find("d");
    EXPECT_EQ(d->path, "b.c.d");
    EXPECT_EQ(d->line, 3u);
    EXPECT_EQ(d->list[0].text, "x");
    EXPECT_TRUE(d->list[1].boolean);
    EXPECT_EQ(d->wrong("no").value().message, "f.toml:3: no");
}

TEST(Setting, names_the_line_of_what_is_no_toml) {
    for (const char* text : {"a = \n", "a = 1\na = 2\n", "[a\n", "a = \"\\q\"\n"}) {
        auto top = parse_toml(text, "f.toml");
        ASSERT_FALSE(top) << text;
        EXPECT_EQ(top.error().message.substr(0, 7), "f.toml:") << top.error().message;
    }
}

TEST(Setting, reads_json_as_the_same_tree) {
    auto top = parse_json_setting(R"({"a": {"b": [1, 2.5, "x", false, null]}})", "job");
    ASSERT_TRUE(top) << top.error().message;
    const Setting* list = top->find("a")->find("b");
    EXPECT_EQ(list->path, "a.b");
    EXPECT_EQ(list->list[0].integer, 1);
    EXPECT_EQ(list->list[1].number, 2.5);
    EXPECT_EQ(list->list[4].kind, Setting::Kind::other);
    EXPECT_EQ(list->wrong("no").value().message, "job: no");
}

TEST(Setting, refuses_json_that_is_broken_or_deep) {
    EXPECT_EQ(parse_json_setting("{", "job").error().message, "job: this is no JSON");
    std::string deep(100, '['), end(100, ']');
    EXPECT_EQ(parse_json_setting(deep + end, "job").error().message, "job: it is nested more than 32 deep");
}

TEST(Setting, names_the_nearest_known_key) {
    auto top = parse_toml("\nretyr = 1\n", "f.toml");
    std::string_view known[] = {"rpo", "retry", "every"};
    EXPECT_EQ(check_keys(*top, known).error().message, "f.toml:2: unknown key retyr; did you mean retry?");
}

}  // namespace
}  // namespace hyper
