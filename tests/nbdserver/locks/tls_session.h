// SPDX-License-Identifier: Apache-2.0
// Sessions of a server with clients of our own, for the tests of TLS.
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <optional>
#include <random>

#include "nbdserver/locks/tls.h"
#include "tests/nbdserver/locks/tls_client.h"

namespace hyper::test {

using Bytes = std::vector<std::byte>;

inline const std::string alice_key =
    "0123456789abcdef0123456789abcdef";  // as bytes; in files its hexadecimal digits

inline std::string hex(const std::string& bytes) {
    std::string digits;
    for (unsigned char c : bytes) digits += fmt::format("{:02x}", c);
    return digits;
}

inline Bytes random_bytes(size_t size, uint32_t seed = 1) {
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
    void write_folder(const ScratchDir& scratch) const {
        write_private(scratch.path("ca-cert.pem"), ca.crt_pem(), 0644);
        write_private(scratch.path("server-cert.pem"), server.crt_pem(), 0644);
        write_private(scratch.path("server-key.pem"), server.key_pem());
    }
    Certificate ca, server, client;
};

inline std::shared_ptr<const TlsCredentials> folder_credentials(const ScratchDir& scratch) {
    auto credentials = TlsCredentials::from_certificates(scratch.dir().string());
    EXPECT_TRUE(credentials) << credentials.error().message;
    return credentials ? *credentials : nullptr;
}

inline std::shared_ptr<const TlsCredentials> certificate_credentials() {
    static auto credentials = [] {
        ScratchDir scratch;
        Authority::get().write_folder(scratch);
        return folder_credentials(scratch);
    }();
    return credentials;
}

inline std::shared_ptr<const TlsCredentials> psk_credentials() {
    static auto credentials = [] {
        ScratchDir scratch;
        write_private(scratch.path("keys"),
                            "alice:" + hex(alice_key) + "\nbob:" + std::string(64, 'b') + "\n");
        auto made = TlsCredentials::from_psk_file(scratch.path("keys"));
        EXPECT_TRUE(made) << made.error().message;
        return made ? *made : nullptr;
    }();
    return credentials;
}

inline std::unique_ptr<TlsSession> start(std::shared_ptr<const TlsCredentials> credentials) {
    auto session = TlsSession::start(std::move(credentials));
    EXPECT_TRUE(session) << session.error().message;
    return std::move(*session);
}

// Carries bytes between both until neither has more to say. The server's error, if there is one,
// with its alert sent; the client gets everything that the server said.
inline std::optional<Error> shake(TlsSession& server, TlsClient& client, size_t step_bytes = SIZE_MAX) {
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

inline int shake_error(TlsSession& server, TlsClient& client) {
    auto error = shake(server, client);
    return error ? error->code : 0;
}

// What the server reads of `ciphertext`, given in steps.
inline Result<Bytes> read_all(TlsSession& server, std::span<const std::byte> ciphertext,
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

inline Bytes seal(TlsSession& server, std::initializer_list<std::span<const std::byte>> parts) {
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
inline Pair joined(const std::string& priorities = "NORMAL", size_t step_bytes = SIZE_MAX) {
    const Authority& authority = Authority::get();
    Pair pair{start(certificate_credentials()), std::make_unique<TlsClient>(priorities)};
    pair.client->use_certificates(authority.ca, &authority.client);
    auto error = shake(*pair.server, *pair.client, step_bytes);
    EXPECT_FALSE(error) << error->message;
    return pair;
}

}  // namespace hyper::test
