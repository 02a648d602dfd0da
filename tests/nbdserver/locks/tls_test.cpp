// SPDX-License-Identifier: Apache-2.0
// Who is let in by TLS, and as whom.
#include "tests/nbdserver/locks/tls_session.h"

namespace hyper {
namespace {

using namespace test;
namespace fs = std::filesystem;

// --- handshake

TEST(TlsTest, certificates_make_a_session_of_tls_1_3_with_the_fastest_cipher) {
    Pair pair = joined();
    EXPECT_EQ(pair.server->description(), "TLS1.3 AES-128-GCM");
}

TEST(TlsTest, tls_1_2_is_served) {
    Pair pair = joined("NORMAL:-VERS-ALL:+VERS-TLS1.2");
    EXPECT_EQ(pair.server->description(), "TLS1.2 AES-128-GCM");
}

TEST(TlsTest, a_client_without_our_favourite_cipher_is_served) {
    EXPECT_EQ(joined("NORMAL:-AES-128-GCM").server->description(), "TLS1.3 AES-256-GCM");
    EXPECT_EQ(joined("NORMAL:-AES-128-GCM:-AES-256-GCM").server->description(),
              "TLS1.3 CHACHA20-POLY1305");
}

TEST(TlsTest, the_handshake_may_come_byte_by_byte) {
    joined("NORMAL", 1);
}

TEST(TlsTest, tls_1_1_is_refused) {
    auto server = start(certificate_credentials());
    TlsClient client("NORMAL:-VERS-ALL:+VERS-TLS1.1");
    client.use_certificates(Authority::get().ca, &Authority::get().client);
    EXPECT_EQ(shake_error(*server, client), EPROTO);
}

TEST(TlsTest, exchange_without_forward_secrecy_and_ciphers_of_old_are_refused) {
    for (const char* priorities : {"NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+RSA",
                                   "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-CBC"}) {
        auto server = start(certificate_credentials());
        TlsClient client(priorities);
        client.use_certificates(Authority::get().ca, &Authority::get().client);
        EXPECT_EQ(shake_error(*server, client), EPROTO) << priorities;
    }
}

// The error that a client with this certificate gets, over both versions.
void expect_refused(const std::shared_ptr<const TlsCredentials>& credentials,
                    const Certificate* own) {
    for (const char* version : {"NORMAL:-VERS-ALL:+VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.2"}) {
        auto server = start(credentials);
        TlsClient client(version);
        client.use_certificates(Authority::get().ca, own);
        auto error = shake(*server, client);
        ASSERT_TRUE(error) << version;
        EXPECT_EQ(error->code, EACCES) << error->message;
        EXPECT_EQ(client.last, GNUTLS_E_FATAL_ALERT_RECEIVED) << version;
    }
}

TEST(TlsTest, a_client_without_certificate_is_refused) {
    expect_refused(certificate_credentials(), nullptr);
}

TEST(TlsTest, a_client_of_another_ca_is_refused) {
    Certificate other = make_certificate({.common_name = "test ca", .authority = true}, nullptr);
    Certificate client = make_certificate({.common_name = "backup01.example"}, &other);
    expect_refused(certificate_credentials(), &client);
}

TEST(TlsTest, a_certificate_signed_by_a_clients_is_refused) {
    Certificate client = make_certificate({.common_name = "forged"}, &Authority::get().client);
    expect_refused(certificate_credentials(), &client);
}

TEST(TlsTest, an_expired_or_future_certificate_is_refused) {
    const Certificate& ca = Authority::get().ca;
    Certificate expired =
        make_certificate({.common_name = "late", .from_s = -3000, .until_s = -60}, &ca);
    expect_refused(certificate_credentials(), &expired);
    Certificate future =
        make_certificate({.common_name = "early", .from_s = 600, .until_s = 3000}, &ca);
    expect_refused(certificate_credentials(), &future);
}

TEST(TlsTest, a_servers_certificate_does_not_make_a_client) {
    Certificate server = make_certificate(
        {.common_name = "other", .purpose = GNUTLS_KP_TLS_WWW_SERVER}, &Authority::get().ca);
    expect_refused(certificate_credentials(), &server);
    Certificate client = make_certificate(
        {.common_name = "other", .purpose = GNUTLS_KP_TLS_WWW_CLIENT}, &Authority::get().ca);
    auto session = start(certificate_credentials());
    TlsClient good;
    good.use_certificates(Authority::get().ca, &client);
    EXPECT_EQ(shake_error(*session, good), 0);
}

TEST(TlsTest, a_revoked_certificate_is_refused_and_others_are_not) {
    const Authority& authority = Authority::get();
    Certificate revoked = make_certificate({.common_name = "stolen", .serial = 77}, &authority.ca);
    test::ScratchDir scratch;
    authority.write_folder(scratch);
    test::write_private(scratch.path("ca-crl.pem"),
                        test::make_revocations(authority.ca, {&revoked}));
    auto credentials = folder_credentials(scratch);
    expect_refused(credentials, &revoked);
    auto server = start(credentials);
    TlsClient good;
    good.use_certificates(authority.ca, &authority.client);
    EXPECT_EQ(shake_error(*server, good), 0);
}

TEST(TlsTest, garbage_instead_of_a_hello_is_an_error) {
    for (uint32_t seed = 0; seed < 200; ++seed) {
        auto server = start(certificate_credentials());
        Bytes garbage = random_bytes(1 + seed * 7, seed);
        // Half of them look like a handshake record at first.
        if (seed % 2 == 0 && garbage.size() > 5)
            store_be<uint32_t>(garbage.data(), 0x16030100), garbage[4] = std::byte(40);
        std::span<const std::byte> in = garbage;
        auto went = server->handshake(in);
        EXPECT_TRUE(!went || !*went);
        server->farewell();
    }
    auto server = start(certificate_credentials());
    Bytes request(18);
    std::memcpy(request.data(), "NBDMAGIC", 8);
    std::span<const std::byte> in = request;
    EXPECT_FALSE(server->handshake(in));
}

TEST(TlsTest, a_hello_changed_anywhere_makes_no_session) {
    TlsClient client;
    client.use_certificates(Authority::get().ca, &Authority::get().client);
    client.handshake();
    const Bytes hello = client.take_sent();
    for (size_t at = 0; at < hello.size(); ++at) {
        Bytes changed = hello;
        changed[at] ^= std::byte{0x55};
        auto server = start(certificate_credentials());
        std::span<const std::byte> in = changed;
        auto went = server->handshake(in);
        EXPECT_TRUE(!went || !*went) << at;
    }
}

TEST(TlsTest, application_data_before_the_handshake_is_an_error) {
    auto server = start(certificate_credentials());
    Bytes record(5 + 32);
    record[0] = std::byte(23), record[1] = record[2] = std::byte(3), record[4] = std::byte(32);
    std::span<const std::byte> in = record;
    auto went = server->handshake(in);
    ASSERT_FALSE(went);
    EXPECT_EQ(went.error().code, EPROTO);
}

// --- pre-shared keys

TEST(TlsTest, a_pre_shared_key_lets_in) {
    for (const char* version : {"+VERS-TLS1.3", "+VERS-TLS1.2"}) {
        auto server = start(psk_credentials());
        TlsClient client(std::string("NORMAL:-VERS-ALL:") + version + ":+ECDHE-PSK:+DHE-PSK:+PSK");
        client.use_psk("alice", alice_key);
        ASSERT_EQ(shake_error(*server, client), 0) << version;
        Peer peer;
        server->identify(peer);
        EXPECT_EQ(peer.psk_identity, "alice");
        EXPECT_TRUE(peer.certificate_names.empty());
        EXPECT_TRUE(server->description().ends_with("AES-128-GCM")) << server->description();
    }
}

TEST(TlsTest, a_wrong_key_and_an_unknown_identity_are_refused_alike) {
    for (const char* version : {"+VERS-TLS1.3", "+VERS-TLS1.2"}) {
        std::vector<std::string> messages;
        for (auto [identity, key] :
             {std::pair{"alice", std::string(32, 'x')}, std::pair{"mallory", alice_key}}) {
            auto server = start(psk_credentials());
            TlsClient client(std::string("NORMAL:-VERS-ALL:") + version + ":+ECDHE-PSK");
            client.use_psk(identity, key);
            auto error = shake(*server, client);
            ASSERT_TRUE(error) << version << identity;
            EXPECT_EQ(error->code, EPROTO);
            messages.push_back(
                fmt::format("{} {}", error->message,
                            gnutls_alert_get_name(gnutls_alert_get(client.session()))));
        }
        EXPECT_EQ(messages[0], messages[1]);
    }
}

TEST(TlsTest, a_key_works_for_its_own_identity_only) {
    auto server = start(psk_credentials());
    TlsClient client("NORMAL:+ECDHE-PSK");
    client.use_psk("bob", alice_key);
    EXPECT_EQ(shake_error(*server, client), EPROTO);
}

TEST(TlsTest, a_certificate_does_not_let_in_where_keys_are_asked_for) {
    auto server = start(psk_credentials());
    TlsClient client;
    client.use_certificates(Authority::get().ca, &Authority::get().client);
    EXPECT_EQ(shake_error(*server, client), EPROTO);
}

// --- identity

TEST(TlsTest, a_certificates_common_and_dns_names_are_the_peers) {
    Pair pair = joined();
    Peer peer;
    pair.server->identify(peer);
    EXPECT_EQ(peer.certificate_names, (std::vector<std::string>{"backup01.example", "b1.example"}));
    EXPECT_EQ(peer.psk_identity, "");
}

TEST(TlsTest, names_with_control_characters_are_no_names) {
    Certificate odd = make_certificate(
        {.common_name = "a\nb", .dns_names = {std::string("root.example\0.evil", 18), "fine"}},
        &Authority::get().ca);
    auto server = start(certificate_credentials());
    TlsClient client;
    client.use_certificates(Authority::get().ca, &odd);
    ASSERT_EQ(shake_error(*server, client), 0);
    Peer peer;
    server->identify(peer);
    EXPECT_EQ(peer.certificate_names, std::vector<std::string>{"fine"});
}

}  // namespace
}  // namespace hyper
