// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/tokens.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

namespace hyper::hyperd {

namespace {

const std::string token = "0123456789abcdef0123456789abcdef";

TEST(Tokens, a_token_is_found_with_its_scopes) {
    auto tokens = Tokens::parse("# comment\n\nwatcher read " + token + "\noperator read,run ffffffffffffffffffffffffffffffff\n", "t");
    ASSERT_TRUE(tokens) << tokens.error().message;
    auto caller = tokens->find(token);
    ASSERT_TRUE(caller);
    EXPECT_EQ(caller->name, "watcher");
    EXPECT_TRUE(caller->may(Scope::read));
    EXPECT_FALSE(caller->may(Scope::run));
    EXPECT_TRUE(tokens->find("ffffffffffffffffffffffffffffffff")->may(Scope::run));
}

TEST(Tokens, no_scope_includes_another) {
    auto tokens = Tokens::parse("root admin " + token, "t");
    ASSERT_TRUE(tokens);
    EXPECT_FALSE(tokens->find(token)->may(Scope::read));
}

TEST(Tokens, a_digest_stands_for_its_token) {
    // printf %s 0123456789abcdef0123456789abcdef | sha256sum
    std::string digest = "sha256:3eb1bd439947eb762998e566ccc2e099c791118b2f40579cc4f7da2b5061b7f9";
    auto tokens = Tokens::parse("w read " + digest, "t");
    ASSERT_TRUE(tokens) << tokens.error().message;
    EXPECT_TRUE(tokens->find(token));
    EXPECT_FALSE(tokens->find(digest));
}

TEST(Tokens, what_is_none_is_not_found) {
    auto tokens = Tokens::parse("w read " + token, "t");
    ASSERT_TRUE(tokens);
    for (const std::string& other : {std::string(), token.substr(1), token + "0", std::string(32, '0')}) EXPECT_FALSE(tokens->find(other)) << other;
    EXPECT_FALSE(Tokens().find(""));
}

TEST(Tokens, a_wrong_line_is_named_and_not_shown) {
    for (const std::string& line : {std::string("w read"), "w reed " + token, std::string("w read secretsecret"), std::string("w read sha256:zz"), "w read " + token + " more"}) {
        auto tokens = Tokens::parse("# first\n" + line, "tokens");
        ASSERT_FALSE(tokens) << line;
        EXPECT_EQ(tokens.error().code, EINVAL);
        EXPECT_TRUE(tokens.error().message.starts_with("tokens:2: ")) << tokens.error().message;
        EXPECT_EQ(tokens.error().message.find("secretsecret"), std::string::npos);
        EXPECT_EQ(tokens.error().message.find(token), std::string::npos);
    }
}

TEST(Tokens, a_name_has_one_token) {
    EXPECT_FALSE(Tokens::parse("w read " + token + "\nw run ffffffffffffffffffffffffffffffff\n", "t"));
}

TEST(Tokens, a_file_that_others_may_read_is_refused) {
    std::string path = testing::TempDir() + "/tokens";
    std::ofstream(path) << "w read " << token << "\n";
    ::chmod(path.c_str(), 0644);
    auto open = Tokens::load(path);
    ASSERT_FALSE(open);
    EXPECT_EQ(open.error().code, EPERM);
    ::chmod(path.c_str(), 0600);
    EXPECT_TRUE(Tokens::load(path));
    std::filesystem::remove(path);
}

}  // namespace

}  // namespace hyper::hyperd
