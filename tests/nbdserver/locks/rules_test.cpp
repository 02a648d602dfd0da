// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/locks/rules.h"

#include <pwd.h>
#include <unistd.h>

#include <chrono>

#include "tests/support/support.h"

namespace hyper {
namespace {

Result<std::shared_ptr<const Rules>> load(const std::string& text) {
    test::ScratchDir scratch;
    test::write_file(scratch.path("rules.toml"), bytes_of_text(text));
    return Rules::load(scratch.path("rules.toml"));
}

std::shared_ptr<const Rules> good(const std::string& text) {
    auto rules = load(text);
    EXPECT_TRUE(rules) << rules.error().message;
    return rules ? *rules : Rules::for_private_socket();
}

// The message without the folder, which differs: "rules.toml:2: ..."
std::string error_of(const std::string& text) {
    auto rules = load(text);
    if (rules) return "";
    EXPECT_EQ(rules.error().code, EINVAL);
    return rules.error().message.substr(rules.error().message.rfind('/') + 1);
}

Peer unix_peer(uid_t uid, gid_t gid, std::vector<gid_t> groups = {}) {
    Peer peer;
    peer.local = true;
    peer.uid = uid;
    peer.gid = gid;
    peer.groups = std::move(groups);
    return peer;
}
Peer certificate_peer(std::vector<std::string> names) {
    Peer peer;
    peer.certificate_names = std::move(names);
    return peer;
}
Peer psk_peer(const std::string& identity) {
    Peer peer;
    peer.psk_identity = identity;
    return peer;
}

TEST(RulesTest, nothing_is_allowed_by_default) {
    EXPECT_EQ(good("")->may(unix_peer(0, 0), "db"), Access::none);
    auto rules = good("[[allow]]\nwho = ['uid:1000']\nread = ['db']\n");
    EXPECT_EQ(rules->may(unix_peer(0, 0), "db"), Access::none);
    EXPECT_EQ(rules->may(unix_peer(1000, 0), "other"), Access::none);
    EXPECT_EQ(rules->may(Peer{}, "db"), Access::none);
}

TEST(RulesTest, read_and_write_are_told_apart) {
    auto rules =
        good("[[allow]]\nwho = ['uid:1000']\nread = ['db', 'both']\nwrite = ['scratch', 'both']\n");
    Peer peer = unix_peer(1000, 1);
    EXPECT_EQ(rules->may(peer, "db"), Access::read);
    EXPECT_EQ(rules->may(peer, "scratch"), Access::write);
    EXPECT_EQ(rules->may(peer, "both"), Access::write);
}

TEST(RulesTest, the_most_that_any_rule_allows_counts) {
    auto rules = good(
        "[[allow]]\nwho = ['uid:1']\nread = ['*']\n[[allow]]\nwho = ['uid:1']\nwrite = ['db']\n"
        "[[allow]]\nwho = ['uid:1']\nread = ['db']\n");
    EXPECT_EQ(rules->may(unix_peer(1, 1), "db"), Access::write);
    EXPECT_EQ(rules->may(unix_peer(1, 1), "web"), Access::read);
}

TEST(RulesTest, a_group_is_any_of_a_peers_groups) {
    auto rules = good("[[allow]]\nwho = ['gid:6']\nread = ['*']\n");
    EXPECT_EQ(rules->may(unix_peer(1000, 6), "db"), Access::read);
    EXPECT_EQ(rules->may(unix_peer(1000, 5, {7, 6}), "db"), Access::read);
    EXPECT_EQ(rules->may(unix_peer(6, 5, {7}), "db"), Access::none);
}

TEST(RulesTest, users_and_groups_go_by_name) {
    auto rules = good(
        "[[allow]]\nwho = ['user:daemon']\nread = ['a']\n[[allow]]\nwho = ['group:daemon']\nread = "
        "['b']\n");
    passwd* daemon = getpwnam("daemon");
    ASSERT_NE(daemon, nullptr);
    EXPECT_EQ(rules->may(unix_peer(daemon->pw_uid, 4242), "a"), Access::read);
    EXPECT_EQ(rules->may(unix_peer(4242, daemon->pw_gid), "b"), Access::read);
    EXPECT_EQ(rules->may(unix_peer(4242, daemon->pw_gid), "a"), Access::none);
    EXPECT_EQ(error_of("[[allow]]\nwho = ['user:no-such-user']\nread = ['a']\n"),
              "rules.toml:2: user no-such-user: it does not exist");
    EXPECT_EQ(error_of("[[allow]]\nwho = ['group:no-such-group']\nread = ['a']\n"),
              "rules.toml:2: group no-such-group: it does not exist");
}

TEST(RulesTest, a_certificate_goes_by_any_of_its_whole_names) {
    auto rules = good("[[allow]]\nwho = ['cert:b1.example']\nread = ['*']\n");
    EXPECT_EQ(rules->may(certificate_peer({"x", "b1.example"}), "db"), Access::read);
    EXPECT_EQ(rules->may(certificate_peer({"b1.example.evil", "b1", "*"}), "db"), Access::none);
    EXPECT_EQ(rules->may(psk_peer("b1.example"), "db"), Access::none);
}

TEST(RulesTest, a_key_goes_by_its_identity) {
    auto rules = good("[[allow]]\nwho = ['psk:b1']\nread = ['*']\n");
    EXPECT_EQ(rules->may(psk_peer("b1"), "db"), Access::read);
    EXPECT_EQ(rules->may(psk_peer("b2"), "db"), Access::none);
    EXPECT_EQ(rules->may(certificate_peer({"b1"}), "db"), Access::none);
}

TEST(RulesTest, local_is_who_came_by_a_unix_socket) {
    auto rules = good("[[allow]]\nwho = ['local']\nread = ['*']\n");
    Peer unmapped;
    unmapped.local = true;
    EXPECT_EQ(rules->may(unmapped, "db"), Access::read);
    EXPECT_EQ(rules->may(certificate_peer({"local"}), "db"), Access::none);
    EXPECT_EQ(rules->may(psk_peer("local"), "db"), Access::none);
}

TEST(RulesTest, a_peer_without_ids_is_nobody) {
    auto rules = good("[[allow]]\nwho = ['uid:0', 'gid:0']\nread = ['*']\n");
    EXPECT_EQ(rules->may(certificate_peer({"0"}), "db"), Access::none);
}

bool covers(const std::string& pattern, std::string_view name) {
    return good("[[allow]]\nwho = ['uid:1']\nread = ['" + pattern + "']\n")
               ->may(unix_peer(1, 1), name) == Access::read;
}

TEST(RulesTest, patterns_cover_whole_names_only) {
    EXPECT_TRUE(covers("db", "db"));
    EXPECT_FALSE(covers("db", "db2"));
    EXPECT_FALSE(covers("db", "mydb"));
    EXPECT_FALSE(covers("db", ""));
    EXPECT_FALSE(covers("db", "DB"));
    EXPECT_FALSE(covers("db", std::string_view("db\0x", 4)));
    EXPECT_TRUE(covers("web01/*", "web01/root"));
    EXPECT_TRUE(covers("web01/*", "web01/a/b"));
    EXPECT_FALSE(covers("web01/*", "web01"));
    EXPECT_FALSE(covers("web01/*", "web011/root"));
    EXPECT_TRUE(covers("*", ""));
    EXPECT_TRUE(covers("*/root", "web01/root"));
    EXPECT_TRUE(covers("a*b*c", "a-bb-b-c"));
    EXPECT_FALSE(covers("a*b*c", "a-bb-b-"));
    EXPECT_TRUE(covers("db?", "db1"));
    EXPECT_FALSE(covers("db?", "db"));
    EXPECT_FALSE(covers("db?", "db12"));
    EXPECT_TRUE(covers("**", "x"));
    EXPECT_TRUE(covers("[a]", "[a]"));
    EXPECT_FALSE(covers("[a]", "a"));
}

TEST(RulesTest, a_pattern_of_many_stars_takes_no_exponential_time) {
    std::string pattern;
    for (int i = 0; i < 1000; ++i) pattern += "*a";
    auto began = std::chrono::steady_clock::now();
    EXPECT_FALSE(covers(pattern + "*b", std::string(4096, 'a')));
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(10));
}

TEST(RulesTest, limits_have_defaults_and_bounds) {
    EXPECT_EQ(good("")->limits().connections, 4096u);
    EXPECT_EQ(good("")->limits().connections_per_peer, 1024u);
    EXPECT_EQ(good("")->limits().handshake_seconds, 10u);
    auto rules =
        good("[limits]\nconnections = 7\nconnections_per_peer = 3\nhandshake_seconds = 2\n");
    EXPECT_EQ(rules->limits().connections, 7u);
    EXPECT_EQ(rules->limits().connections_per_peer, 3u);
    EXPECT_EQ(rules->limits().handshake_seconds, 2u);
    for (const char* value : {"0", "-1", "1000001", "9223372036854775807", "'7'", "7.0", "true"})
        EXPECT_EQ(error_of(std::string("[limits]\nconnections = ") + value),
                  "rules.toml:2: limits.connections is a number from 1 to 1000000");
    EXPECT_NE(error_of("[limits]\nhandshake_seconds = 3601"), "");
}

TEST(RulesTest, an_unknown_key_is_named_with_its_line_and_the_nearest_known_one) {
    EXPECT_EQ(error_of("[[alow]]\n"), "rules.toml:1: unknown key alow; did you mean allow?");
    EXPECT_EQ(error_of("[[allow]]\nwho = ['local']\nraed = ['*']\n"),
              "rules.toml:3: unknown key allow.raed; did you mean read?");
    EXPECT_EQ(error_of("\n[limits]\nconections = 1\n"),
              "rules.toml:3: unknown key limits.conections; did you mean connections?");
    EXPECT_EQ(error_of("[[allow]]\nwho = ['usr:alice']\nread = ['*']\n"),
              "rules.toml:2: \"usr:alice\": unknown kind usr; did you mean user?");
    EXPECT_EQ(error_of("[[allow]]\nwho = ['locl']\nread = ['*']\n"),
              "rules.toml:2: \"locl\" names nobody; did you mean local?");
}

TEST(RulesTest, rules_that_say_nothing_or_the_wrong_thing_are_errors) {
    EXPECT_EQ(error_of("[[allow]]\nread = ['*']\n"), "rules.toml:1: allow.who names nobody");
    EXPECT_EQ(error_of("[[allow]]\nwho = []\nread = ['*']\n"),
              "rules.toml:1: allow.who names nobody");
    EXPECT_EQ(error_of("[[allow]]\nwho = ['local']\n"),
              "rules.toml:1: allow has neither read nor write");
    EXPECT_EQ(error_of("allow = 1\n"), "rules.toml:1: allow is a list of tables: [[allow]]");
    EXPECT_EQ(error_of("allow = [1]\n"), "rules.toml:1: allow is a list of tables: [[allow]]");
    EXPECT_EQ(error_of("limits = 1\n"), "rules.toml:1: limits is a table: [limits]");
    EXPECT_EQ(error_of("[[allow]]\nwho = 'local'\nread = ['*']\n"),
              "rules.toml:2: allow.who is a list of texts: [\"...\"]");
    EXPECT_EQ(error_of("[[allow]]\nwho = ['local']\nread = [1]\n"),
              "rules.toml:3: allow.read is a list of texts: [\"...\"]");
    for (const char* pattern : {"", "a\\nb"})
        EXPECT_EQ(error_of(fmt::format("[[allow]]\nwho = ['local']\nread = [\"{}\"]\n", pattern)),
                  "rules.toml:3: a pattern has 1 to 4096 bytes, and no control characters");
    EXPECT_NE(error_of("[[allow]]\nwho = ['local']\nread = ['" + std::string(4097, 'x') + "']\n"),
              "");
    EXPECT_TRUE(error_of("[[allow]\n").starts_with("rules.toml:1: ")) << error_of("[[allow]\n");
}

TEST(RulesTest, people_are_named_exactly) {
    for (const char* who :
         {"", ":", "uid:", "uid:-1", "uid:1x", "uid: 1", "uid:4294967295", "uid:4294967296",
          "gid:root", "user:", "cert:", "psk:", "cert", "LOCAL", "*", "root"})
        EXPECT_NE(error_of(fmt::format("[[allow]]\nwho = ['{}']\nread = ['*']\n", who)), "") << who;
}

TEST(RulesTest, the_built_in_rules_allow_ones_own_user_and_root_everything) {
    auto rules = Rules::for_private_socket();
    EXPECT_EQ(rules->may(unix_peer(geteuid(), 4242), "db"), Access::write);
    EXPECT_EQ(rules->may(unix_peer(0, 4242), "any/thing"), Access::write);
    EXPECT_EQ(rules->may(unix_peer(geteuid() + 4242, 0, {0}), "db"), Access::none);
    EXPECT_EQ(rules->may(certificate_peer({"root"}), "db"), Access::none);
    EXPECT_EQ(rules->may(psk_peer("root"), "db"), Access::none);
}

TEST(RulesTest, a_missing_file_is_an_error_not_no_rules) {
    auto rules = Rules::load("/nonexistent/rules.toml");
    ASSERT_FALSE(rules);
    EXPECT_EQ(rules.error().code, ENOENT);
}

TEST(RulesTest, any_bytes_make_an_error_and_never_more) {
    std::string base = "[[allow]]\nwho = [\"uid:1\"]\nread = [\"db\"]\n";
    for (size_t at = 0; at < base.size(); ++at)
        for (char c : {'\0', '\xff', '[', '"', '\n'}) {
            std::string changed = base;
            changed[at] = c;
            auto rules = load(changed);
            if (rules) {
                EXPECT_EQ((*rules)->may(unix_peer(2, 2), "db"), Access::none) << changed;
            }
        }
    EXPECT_FALSE(load(std::string(100'000, '[')));
}

}  // namespace
}  // namespace hyper
