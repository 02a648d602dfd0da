// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/locks/tls.h"

#include <array>
#include <filesystem>
#include <functional>
#include <optional>
#include <random>

#include "tests/nbdserver/locks/tls_client.h"

namespace hyper {
namespace {

using test::Certificate;
using test::make_certificate;
using test::TlsClient;
using Bytes = std::vector<std::byte>;
namespace fs = std::filesystem;

const std::string alice_key =
    "0123456789abcdef0123456789abcdef";  // as bytes; in files its hexadecimal digits

std::string hex(const std::string& bytes) {
    std::string digits;
    for (unsigned char c : bytes) digits += fmt::format("{:02x}", c);
    return digits;
}

Bytes random_bytes(size_t size, uint32_t seed = 1) {
    std::mt19937 random(seed);
    Bytes bytes(size);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    return bytes;
}

// A CA, a server's folder and some clients' certificates, made once.
class Authority {
  public:
    Authority()
        : ca(make_certificate({.common_name = "test ca", .authority = true}, nullptr)),
          server(make_certificate({.common_name = "server", .dns_names = {"server"}, .serial = 2},
                                  &ca)),
          client(make_certificate({.common_name = "backup01.example",
                                   .dns_names = {"b1.example", "backup01.example"},
                                   .serial = 3},
                                  &ca)) {}
    static const Authority& get() {
        static Authority authority;
        return authority;
    }
    void write_folder(const test::ScratchDir& scratch) const {
        test::write_private(scratch.path("ca-cert.pem"), ca.crt_pem(), 0644);
        test::write_private(scratch.path("server-cert.pem"), server.crt_pem(), 0644);
        test::write_private(scratch.path("server-key.pem"), server.key_pem());
    }
    Certificate ca, server, client;
};

std::shared_ptr<const TlsCredentials> folder_credentials(const test::ScratchDir& scratch) {
    auto credentials = TlsCredentials::from_certificates(scratch.dir().string());
    EXPECT_TRUE(credentials) << credentials.error().message;
    return credentials ? *credentials : nullptr;
}

std::shared_ptr<const TlsCredentials> certificate_credentials() {
    static auto credentials = [] {
        test::ScratchDir scratch;
        Authority::get().write_folder(scratch);
        return folder_credentials(scratch);
    }();
    return credentials;
}

std::shared_ptr<const TlsCredentials> psk_credentials() {
    static auto credentials = [] {
        test::ScratchDir scratch;
        test::write_private(scratch.path("keys"),
                            "alice:" + hex(alice_key) + "\nbob:" + std::string(64, 'b') + "\n");
        auto made = TlsCredentials::from_psk_file(scratch.path("keys"));
        EXPECT_TRUE(made) << made.error().message;
        return made ? *made : nullptr;
    }();
    return credentials;
}

std::unique_ptr<TlsSession> start(std::shared_ptr<const TlsCredentials> credentials) {
    auto session = TlsSession::start(std::move(credentials));
    EXPECT_TRUE(session) << session.error().message;
    return std::move(*session);
}

// Carries bytes between both until neither has more to say. The server's error, if there is one,
// with its alert sent; the client gets everything that the server said.
std::optional<Error> shake(TlsSession& server, TlsClient& client, size_t step_bytes = SIZE_MAX) {
    for (int turn = 0; turn < 20; ++turn) {
        int client_says = client.handshake();
        Bytes flight = client.take_sent();
        bool done = false;
        for (size_t at = 0; at < flight.size();) {
            size_t count = std::min(step_bytes, flight.size() - at);
            std::span<const std::byte> part(flight.data() + at, count);
            auto went = server.handshake(part);
            if (!went) {
                Bytes last = server.farewell();
                client.receive(last);
                if (client_says != GNUTLS_E_SUCCESS) client_says = client.handshake();
                client.last = client_says;
                if (client_says == GNUTLS_E_SUCCESS) client.read();
                return went.error();
            }
            done = *went;
            EXPECT_TRUE(part.empty());
            at += count;
            Bytes answer = server.take_output();
            client.receive(answer);
        }
        if (done && client_says == GNUTLS_E_SUCCESS) return std::nullopt;
        if (gnutls_error_is_fatal(client_says))
            return Error{EIO, fmt::format("client: {}", gnutls_strerror(client_says))};
        if (done)
            return client.handshake() == GNUTLS_E_SUCCESS
                       ? std::nullopt
                       : std::optional<Error>(Error{EIO, "client"});
    }
    return Error{EIO, "no end"};
}

int shake_error(TlsSession& server, TlsClient& client) {
    auto error = shake(server, client);
    return error ? error->code : 0;
}

// What the server reads of `ciphertext`, given in steps.
Result<Bytes> read_all(TlsSession& server, std::span<const std::byte> ciphertext,
                       size_t step_bytes = SIZE_MAX) {
    Bytes all;
    while (!ciphertext.empty()) {
        auto part = ciphertext.first(std::min(step_bytes, ciphertext.size()));
        ciphertext = ciphertext.subspan(part.size());
        for (;;) {
            auto plaintext = TRY(server.read(part));
            if (plaintext.empty()) break;
            all.insert(all.end(), plaintext.begin(), plaintext.end());
        }
        EXPECT_TRUE(part.empty());
    }
    return all;
}

Bytes seal(TlsSession& server, std::initializer_list<std::span<const std::byte>> parts) {
    size_t total = 0;
    for (auto part : parts) total += part.size();
    Bytes out(TlsSession::sealed_bytes_max(total));
    auto sealed = server.write(std::span(parts.begin(), parts.size()), out);
    EXPECT_TRUE(sealed) << sealed.error().message;
    out.resize(sealed.value_or(0));
    return out;
}

// A session that a client of `priorities` has joined.
struct Pair {
    std::unique_ptr<TlsSession> server;
    std::unique_ptr<TlsClient> client;
};
Pair joined(const std::string& priorities = "NORMAL", size_t step_bytes = SIZE_MAX) {
    const Authority& authority = Authority::get();
    Pair pair{start(certificate_credentials()), std::make_unique<TlsClient>(priorities)};
    pair.client->use_certificates(authority.ca, &authority.client);
    auto error = shake(*pair.server, *pair.client, step_bytes);
    EXPECT_FALSE(error) << error->message;
    return pair;
}

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

// --- data

const char* const versions[] = {"NORMAL:-VERS-ALL:+VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.2"};

TEST(TlsTest, what_a_client_writes_is_read_in_any_steps) {
    for (const char* version : versions) {
        Pair pair = joined(version);
        uint32_t seed = 0;
        for (size_t size : {1, 28, 511, 16383, 16384, 16385, 100'000, 300'001})
            for (size_t step : {size_t(1), size_t(7), size_t(4096), SIZE_MAX}) {
                if (step == 1 && size > 20'000) continue;
                Bytes plaintext = random_bytes(size, ++seed);
                pair.client->write(plaintext);
                Bytes sent = pair.client->take_sent();
                auto got = read_all(*pair.server, sent, step);
                ASSERT_TRUE(got) << got.error().message;
                EXPECT_EQ(*got, plaintext) << size << " in steps of " << step;
            }
    }
}

TEST(TlsTest, what_the_server_writes_is_read_however_it_is_parted) {
    for (const char* version : versions) {
        Pair pair = joined(version);
        Bytes all = random_bytes(400'000);
        std::mt19937 random(7);
        for (int round = 0; round < 60; ++round) {
            std::vector<std::span<const std::byte>> parts;
            size_t at = 0;
            for (auto count = random() % 20; count > 0 && at < all.size(); --count) {
                constexpr size_t sizes[] = {0, 1, 16, 32, 4096, 16383, 16384, 16385, 65536, 262144};
                size_t size = std::min(sizes[random() % std::size(sizes)], all.size() - at);
                parts.emplace_back(all.data() + at, size);
                at += size;
            }
            Bytes out(TlsSession::sealed_bytes_max(at));
            auto sealed = pair.server->write(parts, out);
            ASSERT_TRUE(sealed) << sealed.error().message;
            pair.client->receive(std::span(out).first(*sealed));
            EXPECT_EQ(pair.client->read(), Bytes(all.begin(), all.begin() + at))
                << "round " << round;
        }
    }
}

TEST(TlsTest, a_whole_payload_goes_in_full_records) {
    Pair pair = joined();
    Bytes header(32), payload(262144);
    Bytes sealed = seal(*pair.server, {header, payload});
    // 16 records of 16 KiB and one of the 32 bytes that are left; each has 22 bytes of TLS.
    EXPECT_EQ(sealed.size(), 262144 + 32 + 17 * 22);
}

TEST(TlsTest, a_buffer_too_small_is_refused_before_anything_is_sent) {
    Pair pair = joined();
    Bytes plaintext = random_bytes(50'000);
    std::span<const std::byte> parts[] = {plaintext};
    Bytes out(TlsSession::sealed_bytes_max(plaintext.size()) - 1);
    auto sealed = pair.server->write(parts, out);
    ASSERT_FALSE(sealed);
    EXPECT_EQ(sealed.error().code, ENOBUFS);
    pair.client->receive(seal(*pair.server, {plaintext}));
    EXPECT_EQ(pair.client->read(), plaintext);
}

TEST(TlsTest, a_client_that_asks_for_small_records_gets_them_within_the_bound) {
    for (const char* version : versions) {
        auto server = start(certificate_credentials());
        TlsClient client(version);
        client.use_certificates(Authority::get().ca, &Authority::get().client);
        ASSERT_EQ(gnutls_record_set_max_recv_size(client.session(), 512), 0);
        ASSERT_EQ(shake_error(*server, client), 0);
        Bytes plaintext = random_bytes(100'000);
        std::span<const std::byte> parts[] = {plaintext};
        Bytes out(TlsSession::sealed_bytes_max(plaintext.size()));
        auto sealed = server->write(parts, out);
        ASSERT_TRUE(sealed) << sealed.error().message;
        EXPECT_GT(*sealed, 100'000 + 195 * 20) << "small records were not used";
        client.receive(std::span(out).first(*sealed));
        EXPECT_EQ(client.read(), plaintext);
    }
}

TEST(TlsTest, a_key_update_of_the_clients_is_followed) {
    Pair pair = joined();
    ASSERT_EQ(gnutls_session_key_update(pair.client->session(), GNUTLS_KU_PEER), 0);
    Bytes plaintext = random_bytes(1000);
    pair.client->write(plaintext);
    auto got = read_all(*pair.server, pair.client->take_sent());
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(*got, plaintext);
    pair.client->receive(seal(*pair.server, {plaintext}));
    EXPECT_EQ(pair.client->read(), plaintext);
}

TEST(TlsTest, a_flood_of_key_updates_comes_to_an_end) {
    Pair pair = joined();
    bool refused = false;
    for (int i = 0; i < 1000 && !refused; ++i) {
        ASSERT_EQ(gnutls_session_key_update(pair.client->session(), 0), 0);
        refused = !read_all(*pair.server, pair.client->take_sent());
    }
    EXPECT_TRUE(refused);
}

TEST(TlsTest, renegotiation_is_refused) {
    Pair pair = joined("NORMAL:-VERS-ALL:+VERS-TLS1.2");
    pair.client->handshake();
    auto got = read_all(*pair.server, pair.client->take_sent());
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, EPROTO);
}

// --- ends and damage

TEST(TlsTest, close_notify_is_told_from_silence) {
    Pair pair = joined();
    Bytes plaintext = random_bytes(100);
    pair.client->write(plaintext);
    gnutls_bye(pair.client->session(), GNUTLS_SHUT_WR);
    Bytes sent = pair.client->take_sent();
    auto got = read_all(*pair.server, sent);
    ASSERT_TRUE(got);
    EXPECT_EQ(*got, plaintext);
    EXPECT_TRUE(pair.server->ended());

    Pair cut = joined();
    cut.client->write(plaintext);
    ASSERT_TRUE(read_all(*cut.server, cut.client->take_sent()));
    EXPECT_FALSE(cut.server->ended());
}

TEST(TlsTest, bytes_after_close_notify_are_ignored) {
    Pair pair = joined();
    gnutls_bye(pair.client->session(), GNUTLS_SHUT_WR);
    Bytes sent = pair.client->take_sent();
    Bytes garbage = random_bytes(1000);
    sent.insert(sent.end(), garbage.begin(), garbage.end());
    auto got = read_all(*pair.server, sent);
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_TRUE(got->empty());
    got = read_all(*pair.server, garbage);
    ASSERT_TRUE(got);
    EXPECT_TRUE(got->empty());
    // The server's side is still open.
    Bytes plaintext = random_bytes(100);
    pair.client->receive(seal(*pair.server, {plaintext}));
    EXPECT_EQ(pair.client->read(), plaintext);
}

TEST(TlsTest, a_record_changed_anywhere_never_gives_other_bytes) {
    const Bytes plaintext = random_bytes(40);
    for (const char* version : versions) {
        for (size_t at = 0; at < 100; ++at) {
            Pair pair = joined(version);
            pair.client->write(plaintext);
            Bytes sent = pair.client->take_sent();
            if (at >= sent.size()) break;
            sent[at] ^= std::byte{1};
            auto got = read_all(*pair.server, sent);
            // Of the header, GnuTLS does not care for all that TLS 1.3 has fixed; a longer record
            // is one that is not all there.
            if (got && at < 5)
                EXPECT_TRUE(got->empty() || *got == plaintext) << version << " byte " << at;
            else
                EXPECT_FALSE(got) << version << " byte " << at;
        }
    }
}

TEST(TlsTest, a_cut_record_gives_nothing) {
    Pair pair = joined();
    Bytes plaintext = random_bytes(5000);
    pair.client->write(plaintext);
    Bytes sent = pair.client->take_sent();
    auto got = read_all(*pair.server, std::span(sent).first(sent.size() - 1));
    ASSERT_TRUE(got);
    EXPECT_TRUE(got->empty());
    got = read_all(*pair.server, std::span(sent).last(1));
    ASSERT_TRUE(got);
    EXPECT_EQ(*got, plaintext);
}

TEST(TlsTest, a_replayed_record_is_an_error) {
    Pair pair = joined();
    pair.client->write(random_bytes(100));
    Bytes sent = pair.client->take_sent();
    ASSERT_TRUE(read_all(*pair.server, sent));
    EXPECT_FALSE(read_all(*pair.server, sent));
}

TEST(TlsTest, a_record_longer_than_tls_allows_is_an_error) {
    Pair pair = joined();
    Bytes record(5 + 20000);
    record[0] = std::byte(23), record[1] = record[2] = std::byte(3);
    store_be<uint16_t>(record.data() + 3, 20000);
    EXPECT_FALSE(read_all(*pair.server, record));
}

TEST(TlsTest, farewell_says_goodbye_or_what_was_wrong) {
    Pair good = joined();
    good.client->receive(good.server->farewell());
    good.client->read();
    EXPECT_EQ(good.client->last, 0);

    Pair bad = joined();
    Bytes garbage = random_bytes(100);
    ASSERT_FALSE(read_all(*bad.server, garbage));
    bad.client->receive(bad.server->farewell());
    bad.client->read();
    EXPECT_EQ(bad.client->last, GNUTLS_E_FATAL_ALERT_RECEIVED);
}

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
