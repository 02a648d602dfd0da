// SPDX-License-Identifier: Apache-2.0
// Keys and certificates in files.
#include "tests/nbdserver/locks/tls_session.h"

namespace hyper {
namespace {

using namespace test;
namespace fs = std::filesystem;

// --- credentials

std::string psk_error(const std::string& text, mode_t mode = 0600) {
    test::ScratchDir scratch;
    test::write_private(scratch.path("keys"), text, mode);
    auto credentials = TlsCredentials::from_psk_file(scratch.path("keys"));
    if (credentials) return "";
    EXPECT_EQ(credentials.error().message.find("abcdefabcdef"), std::string::npos)
        << "a secret is in the message";
    return credentials.error().message;
}

TEST(TlsCredentialsTest, a_key_file_that_others_may_read_is_refused) {
    std::string line = "alice:" + std::string(32, 'a') + "\n";
    EXPECT_EQ(psk_error(line, 0600), "");
    EXPECT_EQ(psk_error(line, 0400), "");
    EXPECT_NE(psk_error(line, 0604).find("chmod 0600"), std::string::npos);
    EXPECT_NE(psk_error(line, 0620).find("chmod 0600"), std::string::npos);
    test::ScratchDir scratch;
    test::write_private(scratch.path("keys"), line, 0640);
    if (geteuid() != 0) GTEST_SKIP() << "only root can give files away";
    EXPECT_TRUE(TlsCredentials::from_psk_file(scratch.path("keys"))) << "root's own group is root";
    ASSERT_EQ(chown(scratch.path("keys").c_str(), 0, 1234), 0);
    auto refused = TlsCredentials::from_psk_file(scratch.path("keys"));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, EPERM);
}

TEST(TlsCredentialsTest, malformed_lines_are_named_by_number_without_their_secret) {
    const std::string key = "abcdefabcdefabcdefabcdefabcdefab";
    EXPECT_EQ(psk_error("\nalice:" + key + "\r\n\nb:" + key), "");
    EXPECT_NE(psk_error("alice:" + key + "\n" + key + "\n").find("keys:2: this is no IDENTITY:KEY"),
              std::string::npos);
    EXPECT_NE(psk_error(":" + key).find("keys:1: an identity"), std::string::npos);
    EXPECT_NE(psk_error("a\tb:" + key).find("keys:1: an identity"), std::string::npos);
    EXPECT_NE(psk_error(std::string(129, 'a') + ":" + key).find("keys:1: an identity"),
              std::string::npos);
    EXPECT_NE(psk_error("alice:" + key + "a").find("keys:1: the key has 33"), std::string::npos);
    EXPECT_NE(psk_error("alice:" + key.substr(2)).find("keys:1: the key has 30"),
              std::string::npos);
    EXPECT_NE(psk_error("alice:" + key + key + key + key + "ab").find("keys:1: the key has 130"),
              std::string::npos);
    EXPECT_NE(psk_error("alice:" + key.substr(1) + "x").find("keys:1: the key is not all"),
              std::string::npos);
    EXPECT_NE(psk_error("alice:" + key + "\nalice:" + key).find("keys:2: the identity alice has"),
              std::string::npos);
    EXPECT_NE(psk_error("\n\n").find("there is no IDENTITY:KEY"), std::string::npos);
}

int folder_error(const std::function<void(const test::ScratchDir&)>& change) {
    test::ScratchDir scratch;
    Authority::get().write_folder(scratch);
    change(scratch);
    auto credentials = TlsCredentials::from_certificates(scratch.dir().string());
    return credentials ? 0 : credentials.error().code;
}

TEST(TlsCredentialsTest, missing_and_wrong_files_of_a_folder_are_errors) {
    for (const char* name : {"ca-cert.pem", "server-cert.pem", "server-key.pem"}) {
        EXPECT_EQ(folder_error([&](auto& scratch) { fs::remove(scratch.path(name)); }), ENOENT)
            << name;
        EXPECT_EQ(folder_error(
                      [&](auto& scratch) { test::write_private(scratch.path(name), "nonsense"); }),
                  EINVAL)
            << name;
        EXPECT_EQ(folder_error([&](auto& scratch) { test::write_private(scratch.path(name), ""); }),
                  EINVAL)
            << name;
        EXPECT_EQ(
            folder_error([&](auto& scratch) { fs::resize_file(scratch.path(name), 2 * MiB); }),
            EFBIG)
            << name;
        EXPECT_EQ(folder_error([&](auto& scratch) {
                      fs::remove(scratch.path(name));
                      ASSERT_EQ(mkfifo(scratch.path(name).c_str(), 0600), 0);
                  }),
                  EINVAL)
            << name;
    }
    EXPECT_EQ(folder_error([](auto&) {}), 0);
}

TEST(TlsCredentialsTest, a_list_of_revoked_that_cannot_be_read_is_an_error_not_an_empty_list) {
    EXPECT_EQ(folder_error([](auto& scratch) {
                  test::write_private(scratch.path("ca-crl.pem"), "nonsense");
              }),
              EINVAL);
    EXPECT_EQ(
        folder_error([](auto& scratch) { test::write_private(scratch.path("ca-crl.pem"), ""); }),
        EINVAL);
    EXPECT_EQ(folder_error([](auto& scratch) { fs::create_directory(scratch.path("ca-crl.pem")); }),
              EINVAL);
}

TEST(TlsCredentialsTest, a_server_key_that_others_may_read_is_refused) {
    EXPECT_EQ(folder_error([](auto& scratch) {
                  fs::permissions(scratch.path("server-key.pem"), fs::perms(0644));
              }),
              EPERM);
}

TEST(TlsCredentialsTest, a_key_of_another_certificate_is_refused) {
    EXPECT_EQ(folder_error([](auto& scratch) {
                  test::write_private(scratch.path("server-key.pem"),
                                      Authority::get().client.key_pem());
              }),
              EINVAL);
}

TEST(TlsCredentialsTest, sessions_keep_the_credentials_that_they_began_with) {
    test::ScratchDir scratch;
    test::write_private(scratch.path("keys"), "alice:" + hex(alice_key) + "\n");
    auto credentials = TlsCredentials::from_psk_file(scratch.path("keys"));
    ASSERT_TRUE(credentials);
    auto server = start(*credentials);
    credentials->reset();
    TlsClient client("NORMAL:+ECDHE-PSK");
    client.use_psk("alice", alice_key);
    EXPECT_EQ(shake_error(*server, client), 0);
}

}  // namespace
}  // namespace hyper
