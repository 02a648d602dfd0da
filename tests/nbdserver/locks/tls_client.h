// SPDX-License-Identifier: Apache-2.0
// The other side of TLS, for tests: keys, certificates, and a client session without a socket.
#pragma once

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include "blockengine/base/bytes.h"
#include "tests/support/support.h"

namespace hyper::test {

// A certificate with its key.
struct Certificate {
    gnutls_x509_crt_t crt = nullptr;
    gnutls_x509_privkey_t key = nullptr;
    Certificate() = default;
    Certificate(Certificate&& other) noexcept
        : crt(std::exchange(other.crt, nullptr)), key(std::exchange(other.key, nullptr)) {}
    ~Certificate() {
        if (crt != nullptr) gnutls_x509_crt_deinit(crt);
        if (key != nullptr) gnutls_x509_privkey_deinit(key);
    }
    std::string crt_pem() const;
    std::string key_pem() const;
};

struct CertificateWish {
    std::string common_name;
    std::vector<std::string> dns_names = {};
    bool authority = false;
    const char* purpose = nullptr;          // GNUTLS_KP_...
    time_t from_s = -3600, until_s = 3600;  // relative to now
    unsigned serial = 1;
};

inline void must(int code) {
    ASSERT_GE(code, 0) << gnutls_strerror(code);
}

// Signed by `authority`, or by itself.
inline Certificate make_certificate(const CertificateWish& wish, const Certificate* authority) {
    Certificate made;
    must(gnutls_x509_privkey_init(&made.key));
    must(gnutls_x509_privkey_generate(made.key, GNUTLS_PK_ECDSA,
                                      GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
    must(gnutls_x509_crt_init(&made.crt));
    gnutls_x509_crt_t crt = made.crt;
    must(gnutls_x509_crt_set_version(crt, 3));
    must(gnutls_x509_crt_set_serial(crt, &wish.serial, sizeof wish.serial));
    time_t now = time(nullptr);
    must(gnutls_x509_crt_set_activation_time(crt, now + wish.from_s));
    must(gnutls_x509_crt_set_expiration_time(crt, now + wish.until_s));
    must(gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, wish.common_name.data(),
                                       static_cast<unsigned>(wish.common_name.size())));
    // By hand, since GnuTLS would cut a name at a zero byte.
    std::string names;
    for (const std::string& name : wish.dns_names)
        names += '\x82' + std::string(1, static_cast<char>(name.size())) + name;
    if (!names.empty()) {
        names = '\x30' + std::string(1, static_cast<char>(names.size())) + names;
        EXPECT_LT(names.size(), 128u);
        must(gnutls_x509_crt_set_extension_by_oid(crt, GNUTLS_X509EXT_OID_SAN, names.data(),
                                                  names.size(), 0));
    }
    must(gnutls_x509_crt_set_basic_constraints(crt, wish.authority ? 1 : 0, -1));
    must(gnutls_x509_crt_set_key_usage(crt, wish.authority
                                                ? GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN
                                                : GNUTLS_KEY_DIGITAL_SIGNATURE));
    if (wish.purpose != nullptr) must(gnutls_x509_crt_set_key_purpose_oid(crt, wish.purpose, 0));
    must(gnutls_x509_crt_set_key(crt, made.key));
    const Certificate& signer = authority != nullptr ? *authority : made;
    must(gnutls_x509_crt_sign2(crt, signer.crt, signer.key, GNUTLS_DIG_SHA256, 0));
    return made;
}

// The list of certificates that `authority` revoked, valid for an hour.
inline std::string make_revocations(const Certificate& authority,
                                    const std::vector<const Certificate*>& revoked) {
    gnutls_x509_crl_t crl;
    must(gnutls_x509_crl_init(&crl));
    time_t now = time(nullptr);
    must(gnutls_x509_crl_set_version(crl, 2));
    must(gnutls_x509_crl_set_this_update(crl, now - 60));
    must(gnutls_x509_crl_set_next_update(crl, now + 3600));
    for (const Certificate* certificate : revoked)
        must(gnutls_x509_crl_set_crt(crl, certificate->crt, now - 60));
    must(gnutls_x509_crl_sign2(crl, authority.crt, authority.key, GNUTLS_DIG_SHA256, 0));
    gnutls_datum_t pem{};
    must(gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_PEM, &pem));
    std::string text(reinterpret_cast<char*>(pem.data), pem.size);
    gnutls_free(pem.data);
    gnutls_x509_crl_deinit(crl);
    return text;
}

inline std::string Certificate::crt_pem() const {
    gnutls_datum_t pem{};
    must(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem));
    std::string text(reinterpret_cast<char*>(pem.data), pem.size);
    gnutls_free(pem.data);
    return text;
}
inline std::string Certificate::key_pem() const {
    gnutls_datum_t pem{};
    must(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem));
    std::string text(reinterpret_cast<char*>(pem.data), pem.size);
    gnutls_free(pem.data);
    return text;
}

inline void write_private(const std::string& path, const std::string& text, mode_t mode = 0600) {
    write_file(path, bytes_of_text(text));
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
}

// A client whose ciphertext goes from take_sent() to receive() by the test.
class TlsClient {
  public:
    explicit TlsClient(const std::string& priorities = "NORMAL") {
        // Shows its certificate whatever the server says it trusts, since what the server then does
        // is tested.
        must(gnutls_init(&session_, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_FORCE_CLIENT_CERT));
        must(gnutls_priority_set_direct(session_, priorities.c_str(), nullptr));
        gnutls_transport_set_ptr(session_, this);
        gnutls_transport_set_pull_function(session_, pull);
        gnutls_transport_set_push_function(session_, push);
        gnutls_transport_set_pull_timeout_function(session_, pull_timeout);
    }
    ~TlsClient() {
        gnutls_deinit(session_);
        if (certificates_ != nullptr) gnutls_certificate_free_credentials(certificates_);
        if (psk_ != nullptr) gnutls_psk_free_client_credentials(psk_);
    }
    TlsClient(const TlsClient&) = delete;
    TlsClient& operator=(const TlsClient&) = delete;

    // Trusts `authority`; shows `own` if there is one.
    void use_certificates(const Certificate& authority, const Certificate* own) {
        must(gnutls_certificate_allocate_credentials(&certificates_));
        must(gnutls_certificate_set_x509_trust(certificates_,
                                               const_cast<gnutls_x509_crt_t*>(&authority.crt), 1));
        if (own != nullptr)
            must(gnutls_certificate_set_x509_key(
                certificates_, const_cast<gnutls_x509_crt_t*>(&own->crt), 1, own->key));
        must(gnutls_credentials_set(session_, GNUTLS_CRD_CERTIFICATE, certificates_));
        gnutls_session_set_verify_cert(session_, nullptr, 0);
    }
    void use_psk(const std::string& identity, const std::string& key) {
        must(gnutls_psk_allocate_client_credentials(&psk_));
        gnutls_datum_t datum{reinterpret_cast<unsigned char*>(const_cast<char*>(key.data())),
                             static_cast<unsigned>(key.size())};
        must(gnutls_psk_set_client_credentials(psk_, identity.c_str(), &datum, GNUTLS_PSK_KEY_RAW));
        must(gnutls_credentials_set(session_, GNUTLS_CRD_PSK, psk_));
    }

    int handshake() { return gnutls_handshake(session_); }
    // All of it.
    void write(std::span<const std::byte> bytes) {
        while (!bytes.empty()) {
            ssize_t went = gnutls_record_send(session_, bytes.data(), bytes.size());
            ASSERT_GT(went, 0) << gnutls_strerror(static_cast<int>(went));
            bytes = bytes.subspan(static_cast<size_t>(went));
        }
    }
    // Everything that came in; see `last`.
    std::vector<std::byte> read() {
        std::vector<std::byte> all;
        std::vector<std::byte> part(20000);
        do {
            last = gnutls_record_recv(session_, part.data(), part.size());
            if (last > 0) all.insert(all.end(), part.begin(), part.begin() + last);
            // A key update is no data, but more may follow.
        } while (last > 0 || (last == GNUTLS_E_AGAIN && at_ < inbox_.size()));
        return all;
    }
    void receive(std::span<const std::byte> bytes) {
        inbox_.insert(inbox_.end(), bytes.begin(), bytes.end());
    }
    gnutls_session_t session() { return session_; }
    std::vector<std::byte> take_sent() { return std::exchange(sent_, {}); }

    ssize_t last = 0;  // what GnuTLS said at the end of read(): 0 for close_notify

  private:
    static ssize_t pull(void* self, void* data, size_t size) {
        auto& client = *static_cast<TlsClient*>(self);
        size_t count = std::min(size, client.inbox_.size() - client.at_);
        if (count == 0) {
            gnutls_transport_set_errno(client.session_, EAGAIN);
            return -1;
        }
        std::memcpy(data, client.inbox_.data() + client.at_, count);
        client.at_ += count;
        return static_cast<ssize_t>(count);
    }
    static int pull_timeout(void* self, unsigned) {
        auto& client = *static_cast<TlsClient*>(self);
        return client.at_ < client.inbox_.size();
    }
    static ssize_t push(void* self, const void* data, size_t size) {
        auto& client = *static_cast<TlsClient*>(self);
        const auto* bytes = static_cast<const std::byte*>(data);
        client.sent_.insert(client.sent_.end(), bytes, bytes + size);
        return static_cast<ssize_t>(size);
    }

    gnutls_session_t session_ = nullptr;
    gnutls_certificate_credentials_t certificates_ = nullptr;
    gnutls_psk_client_credentials_t psk_ = nullptr;
    std::vector<std::byte> sent_, inbox_;
    size_t at_ = 0;  // of inbox_: what was read
};

}  // namespace hyper::test
