// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/locks/tls.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace hyper {

namespace {

// Nothing but what is named: forward secrecy and AEAD everywhere.
constexpr const char* common_priorities =
    "NONE:+VERS-TLS1.3:+VERS-TLS1.2:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:+AEAD:+COMP-NULL:+"
    "SIGN-ALL:-SIGN-RSA-SHA1:"
    "-SIGN-ECDSA-SHA1:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:%SERVER_PRECEDENCE";
constexpr const char* certificate_priorities = ":+ECDHE-ECDSA:+ECDHE-RSA:+CTYPE-X509";
constexpr const char* psk_priorities = ":+DHE-PSK:+ECDHE-PSK:+GROUP-FFDHE2048:+GROUP-FFDHE3072";

constexpr size_t identity_bytes_max = 128, key_bytes_min = 16, key_bytes_max = 64;
// Of one certificate; more names than this are not looked at.
constexpr unsigned names_max = 64;
constexpr size_t name_bytes_max = 512;
// The most that TLS puts into one record.
constexpr size_t record_bytes = 16384;

gnutls_datum_t datum(const std::string& bytes) {
    return {reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data())),
            static_cast<unsigned>(bytes.size())};
}

bool printable(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
}
bool has_control(std::string_view text) {
    return std::any_of(text.begin(), text.end(),
                       [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

Result<gnutls_priority_t> make_priority(const char* key_exchange) {
    gnutls_priority_t priority = nullptr;
    const char* wrong = nullptr;
    std::string text = std::string(common_priorities) + key_exchange;
    int code = gnutls_priority_init(&priority, text.c_str(), &wrong);
    if (code != GNUTLS_E_SUCCESS)
        return fail(EINVAL, "tls: priorities at \"{}\": {}", wrong, gnutls_strerror(code));
    return priority;
}

// The keys belong to the credentials that the session holds.
using Keys = std::map<std::string, Secret, std::less<>>;

// For an unknown identity GnuTLS goes on with a random key, so that the client cannot tell it from
// a wrong key.
int find_key(gnutls_session_t session, const gnutls_datum_t* identity, gnutls_datum_t* key) {
    constexpr int unknown = 1;
    const Keys& keys = *static_cast<const Keys*>(gnutls_session_get_ptr(session));
    auto found =
        keys.find(std::string_view(reinterpret_cast<const char*>(identity->data), identity->size));
    if (found == keys.end()) return unknown;
    const std::string& bytes = found->second.bytes();
    key->data = static_cast<unsigned char*>(gnutls_malloc(bytes.size()));
    if (key->data == nullptr) return -1;
    std::memcpy(key->data, bytes.data(), bytes.size());
    key->size = static_cast<unsigned>(bytes.size());
    return 0;
}

int digit_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

// Messages say where, never what: the line holds a secret.
Result<void> add_key(std::string_view line, const std::string& where, Keys& keys) {
    size_t colon = line.rfind(':');
    if (colon == std::string_view::npos) return fail(EINVAL, "{}: this is no IDENTITY:KEY", where);
    std::string_view identity = line.substr(0, colon), digits = line.substr(colon + 1);
    if (identity.empty() || identity.size() > identity_bytes_max || !printable(identity))
        return fail(EINVAL, "{}: an identity has 1 to {} printable ASCII characters", where,
                    identity_bytes_max);
    if (digits.size() % 2 != 0 || digits.size() < 2 * key_bytes_min ||
        digits.size() > 2 * key_bytes_max)
        return fail(EINVAL,
                    "{}: the key has {} hexadecimal digits; {} to {} make a key of whole bytes",
                    where, digits.size(), 2 * key_bytes_min, 2 * key_bytes_max);
    std::string key(digits.size() / 2, '\0');
    bool good = true;
    for (size_t i = 0; i < key.size(); ++i) {
        int high = digit_of(digits[2 * i]), low = digit_of(digits[2 * i + 1]);
        good = good && high >= 0 && low >= 0;
        key[i] = static_cast<char>(high * 16 + low);
    }
    Secret secret(std::move(key));
    if (!good) return fail(EINVAL, "{}: the key is not all hexadecimal digits", where);
    if (!keys.emplace(std::string(identity), std::move(secret)).second)
        return fail(EINVAL, "{}: the identity {} has a key already", where, identity);
    return {};
}

// The names of the client's own certificate, the first of its chain.
std::vector<std::string> names_of(gnutls_session_t session) {
    std::vector<std::string> names;
    unsigned count = 0;
    const gnutls_datum_t* chain = gnutls_certificate_get_peers(session, &count);
    gnutls_x509_crt_t certificate = nullptr;
    if (chain == nullptr || count == 0 || gnutls_x509_crt_init(&certificate) != GNUTLS_E_SUCCESS)
        return names;
    std::unique_ptr<gnutls_x509_crt_int, decltype(&gnutls_x509_crt_deinit)> owned(
        certificate, gnutls_x509_crt_deinit);
    if (gnutls_x509_crt_import(certificate, &chain[0], GNUTLS_X509_FMT_DER) != GNUTLS_E_SUCCESS)
        return names;

    char name[name_bytes_max];
    auto add = [&](size_t size) {
        std::string_view text(name, size);
        if (!text.empty() && !has_control(text) &&
            std::find(names.begin(), names.end(), text) == names.end())
            names.emplace_back(text);
    };
    size_t size = sizeof name;
    if (gnutls_x509_crt_get_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name,
                                      &size) == GNUTLS_E_SUCCESS)
        add(size);
    for (unsigned i = 0; i < names_max; ++i) {
        size = sizeof name;
        int type = gnutls_x509_crt_get_subject_alt_name(certificate, i, name, &size, nullptr);
        if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE) break;
        if (type == GNUTLS_SAN_DNSNAME) add(size);
    }
    return names;
}

// Why a client's certificate was refused, as GnuTLS says it.
std::string refusal(gnutls_session_t session) {
    gnutls_datum_t text{};
    unsigned status = gnutls_session_get_verify_cert_status(session);
    if (gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0) !=
        GNUTLS_E_SUCCESS)
        return "it cannot be verified";
    std::string said(reinterpret_cast<char*>(text.data), text.size);
    gnutls_free(text.data);
    while (said.ends_with(' ')) said.pop_back();
    return said;
}

// Not an error: more is needed, or a record had nothing for us. A call that says so has used up
// input, so whoever tries again while there is some comes to an end; one that has not is an error
// after all.
bool goes_on(ssize_t code) {
    return code == GNUTLS_E_AGAIN || code == GNUTLS_E_INTERRUPTED;
}

}  // namespace

Result<std::shared_ptr<const TlsCredentials>> TlsCredentials::from_certificates(
    const std::string& folder) {
    auto path = [&](const char* name) { return (std::filesystem::path(folder) / name).string(); };
    std::shared_ptr<TlsCredentials> made(new TlsCredentials);
    made->priority_ = TRY(make_priority(certificate_priorities));
    if (gnutls_certificate_allocate_credentials(&made->certificates_) != GNUTLS_E_SUCCESS)
        return fail(ENOMEM, "tls: no memory for credentials");

    std::string text = TRY(read_config_file(path("ca-cert.pem")));
    gnutls_datum_t pem = datum(text);
    int got = gnutls_certificate_set_x509_trust_mem(made->certificates_, &pem, GNUTLS_X509_FMT_PEM);
    if (got <= 0)
        return fail(EINVAL, "{}: {}", path("ca-cert.pem"),
                    got == 0 ? "there is no certificate in it" : gnutls_strerror(got));

    // Without the list of revoked ones every one of them would come in, so only ENOENT means that
    // there is none.
    auto revoked = read_config_file(path("ca-crl.pem"));
    if (!revoked && revoked.error().code != ENOENT) return tl::unexpected(revoked.error());
    if (revoked) {
        pem = datum(*revoked);
        got = gnutls_certificate_set_x509_crl_mem(made->certificates_, &pem, GNUTLS_X509_FMT_PEM);
        if (got <= 0)
            return fail(EINVAL, "{}: {}", path("ca-crl.pem"),
                        got == 0 ? "there is no list in it" : gnutls_strerror(got));
    }

    TRY(made->load_server_key(path("server-cert.pem"), path("server-key.pem")));
    return made;
}

Result<void> TlsCredentials::load_server_key(const std::string& certificate, const std::string& key_file) {
    std::string text = TRY(read_config_file(certificate));
    Secret key = TRY(read_secret_file(key_file));
    gnutls_datum_t own = datum(text), key_pem = datum(key.bytes());
    int got = gnutls_certificate_set_x509_key_mem2(certificates_, &own, &key_pem, GNUTLS_X509_FMT_PEM,
                                                   nullptr, 0);
    if (got < 0)
        return fail(EINVAL, "{} and {}: {}", certificate, key_file, gnutls_strerror(got));
    return {};
}

Result<std::shared_ptr<const TlsCredentials>> TlsCredentials::for_known_server(
    const std::string& certificate, const std::string& key) {
    std::shared_ptr<TlsCredentials> made(new TlsCredentials);
    made->priority_ = TRY(make_priority(certificate_priorities));
    made->clients_show_certificates_ = false;
    if (gnutls_certificate_allocate_credentials(&made->certificates_) != GNUTLS_E_SUCCESS)
        return fail(ENOMEM, "tls: no memory for credentials");
    TRY(made->load_server_key(certificate, key));
    return made;
}

Result<std::shared_ptr<const TlsCredentials>> TlsCredentials::from_psk_file(
    const std::string& path) {
    std::shared_ptr<TlsCredentials> made(new TlsCredentials);
    made->priority_ = TRY(make_priority(psk_priorities));
    if (gnutls_psk_allocate_server_credentials(&made->psk_) != GNUTLS_E_SUCCESS)
        return fail(ENOMEM, "tls: no memory for credentials");
    gnutls_psk_set_server_credentials_function2(made->psk_, find_key);
    Secret file = TRY(read_secret_file(path));
    std::string_view rest = file.bytes();
    for (int line = 1; !rest.empty(); ++line) {
        size_t end = std::min(rest.find('\n'), rest.size());
        std::string_view text = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        if (text.ends_with('\r')) text.remove_suffix(1);
        if (!text.empty()) TRY(add_key(text, fmt::format("{}:{}", path, line), made->keys_));
    }
    if (made->keys_.empty()) return fail(EINVAL, "{}: there is no IDENTITY:KEY in it", path);
    return made;
}

TlsCredentials::~TlsCredentials() {
    if (certificates_ != nullptr) gnutls_certificate_free_credentials(certificates_);
    if (psk_ != nullptr) gnutls_psk_free_server_credentials(psk_);
    if (priority_ != nullptr) gnutls_priority_deinit(priority_);
}

Result<std::unique_ptr<TlsSession>> TlsSession::start(
    std::shared_ptr<const TlsCredentials> credentials) {
    std::unique_ptr<TlsSession> made(new TlsSession(std::move(credentials)));
    const TlsCredentials& with = *made->credentials_;
    int code = gnutls_init(&made->session_, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_TICKETS);
    if (code != GNUTLS_E_SUCCESS)
        return fail(ENOMEM, "tls: make a session: {}", gnutls_strerror(code));
    gnutls_session_t session = made->session_;
    code = gnutls_priority_set(session, with.priority_);
    if (code == GNUTLS_E_SUCCESS)
        code = with.certificates_ != nullptr
                   ? gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, with.certificates_)
                   : gnutls_credentials_set(session, GNUTLS_CRD_PSK, with.psk_);
    if (code != GNUTLS_E_SUCCESS)
        return fail(ENOMEM, "tls: set up a session: {}", gnutls_strerror(code));
    if (with.certificates_ != nullptr && with.clients_show_certificates_) {
        gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
        static char purpose[] = GNUTLS_KP_TLS_WWW_CLIENT;
        static gnutls_typed_vdata_st for_clients{GNUTLS_DT_KEY_PURPOSE_OID,
                                                 reinterpret_cast<unsigned char*>(purpose), 0};
        gnutls_session_set_verify_cert2(session, &for_clients, 1, 0);
    }
    gnutls_session_set_ptr(session, const_cast<Keys*>(&with.keys_));
    gnutls_transport_set_ptr(session, made.get());
    gnutls_transport_set_pull_function(session, pull);
    gnutls_transport_set_pull_timeout_function(session, pull_timeout);
    gnutls_transport_set_push_function(session, push);
    return made;
}

TlsSession::~TlsSession() {
    if (lent_ != nullptr) gnutls_packet_deinit(lent_);
    if (session_ != nullptr) gnutls_deinit(session_);
}

ssize_t TlsSession::pull(void* self, void* data, size_t size) {
    auto& session = *static_cast<TlsSession*>(self);
    size_t count = std::min(size, session.input_.size());
    if (count == 0) {
        gnutls_transport_set_errno(session.session_, EAGAIN);
        return -1;
    }
    std::memcpy(data, session.input_.data(), count);
    session.input_ = session.input_.subspan(count);
    return static_cast<ssize_t>(count);
}

int TlsSession::pull_timeout(void* self, unsigned) {
    return static_cast<TlsSession*>(self)->input_.empty() ? 0 : 1;
}

ssize_t TlsSession::push(void* self, const void* data, size_t size) {
    auto& session = *static_cast<TlsSession*>(self);
    if (!session.writing_) {
        const auto* bytes = static_cast<const std::byte*>(data);
        session.output_.insert(session.output_.end(), bytes, bytes + size);
        return static_cast<ssize_t>(size);
    }
    if (size > session.room_.size()) {
        gnutls_transport_set_errno(session.session_, ENOBUFS);
        return -1;
    }
    std::memcpy(session.room_.data(), data, size);
    session.room_ = session.room_.subspan(size);
    return static_cast<ssize_t>(size);
}

Error TlsSession::error_of(int code, std::string_view doing) {
    last_error_ = code;
    switch (code) {
        case GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR:
            return {EACCES, "tls: the client's certificate is refused: " + refusal(session_)};
        case GNUTLS_E_NO_CERTIFICATE_FOUND:
        case GNUTLS_E_CERTIFICATE_REQUIRED:
            return {EACCES, "tls: the client shows no certificate"};
        case GNUTLS_E_FATAL_ALERT_RECEIVED: {
            const char* alert = gnutls_alert_get_name(gnutls_alert_get(session_));
            return {EPROTO, fmt::format("tls: {}: the client says: {}", doing,
                                        alert != nullptr ? alert : "unknown alert")};
        }
        default:
            return {EPROTO, fmt::format("tls: {}: {}", doing, gnutls_strerror(code))};
    }
}

Result<bool> TlsSession::handshake(std::span<const std::byte>& ciphertext) {
    if (done_) return true;
    input_ = ciphertext;
    int code;
    size_t before;
    do {
        before = input_.size();
        code = gnutls_handshake(session_);
    } while (goes_on(code) && input_.size() < before && !input_.empty());
    ciphertext = std::exchange(input_, {});
    done_ = code == GNUTLS_E_SUCCESS;
    if (done_) return true;
    if (goes_on(code) && ciphertext.empty()) return false;
    return tl::unexpected(error_of(code, "handshake"));
}

Result<std::span<const std::byte>> TlsSession::read(std::span<const std::byte>& ciphertext) {
    if (lent_ != nullptr) gnutls_packet_deinit(std::exchange(lent_, nullptr));
    if (ended_) {
        ciphertext = {};
        return std::span<const std::byte>();
    }
    input_ = ciphertext;
    ssize_t got;
    size_t before;
    do {
        before = input_.size();
        got = gnutls_record_recv_packet(session_, &lent_);
    } while (goes_on(got) && input_.size() < before && !input_.empty());
    ciphertext = std::exchange(input_, {});
    if (goes_on(got) && ciphertext.empty()) return std::span<const std::byte>();
    if (got < 0) return tl::unexpected(error_of(static_cast<int>(got), "read"));
    if (got == 0) {
        ended_ = true;
        ciphertext = {};
        return std::span<const std::byte>();
    }
    gnutls_datum_t plaintext{};
    gnutls_packet_get(lent_, &plaintext, nullptr);
    return std::as_bytes(std::span(plaintext.data, plaintext.size));
}

// Of one record, or of several where the client asked for smaller ones.
Result<void> TlsSession::seal(std::span<const std::byte> record) {
    while (!record.empty()) {
        ssize_t sent = gnutls_record_send(session_, record.data(), record.size());
        if (sent < 0) return tl::unexpected(error_of(static_cast<int>(sent), "write"));
        record = record.subspan(static_cast<size_t>(sent));
    }
    return {};
}

Result<size_t> TlsSession::write(std::span<const std::span<const std::byte>> parts,
                                 std::span<std::byte> out) {
    size_t plaintext_bytes = 0;
    for (const auto& part : parts) plaintext_bytes += part.size();
    if (out.size() < sealed_bytes_max(plaintext_bytes))
        return fail(ENOBUFS, "tls: {} bytes need room for {}, not {}", plaintext_bytes,
                    sealed_bytes_max(plaintext_bytes), out.size());
    // Where parts meet within a record, it is gathered here; a whole record within one part goes as
    // it is.
    static thread_local std::array<std::byte, record_bytes> gathered;
    size_t gathered_bytes = 0;
    room_ = out;
    writing_ = true;
    Result<void> done;
    for (std::span<const std::byte> part : parts) {
        while (!part.empty() && done) {
            if (gathered_bytes == 0 && part.size() >= record_bytes) {
                done = seal(part.first(record_bytes));
                part = part.subspan(record_bytes);
                continue;
            }
            size_t count = std::min(part.size(), record_bytes - gathered_bytes);
            std::memcpy(gathered.data() + gathered_bytes, part.data(), count);
            gathered_bytes += count;
            part = part.subspan(count);
            if (gathered_bytes == record_bytes) {
                done = seal({gathered.data(), gathered_bytes});
                gathered_bytes = 0;
            }
        }
    }
    if (done && gathered_bytes > 0) done = seal({gathered.data(), gathered_bytes});
    writing_ = false;
    if (!done) return tl::unexpected(std::move(done).error());
    return out.size() - std::exchange(room_, {}).size();
}

std::vector<std::byte> TlsSession::farewell() {
    if (last_error_ == 0)
        gnutls_bye(session_, GNUTLS_SHUT_WR);
    else
        gnutls_alert_send_appropriate(session_, last_error_);
    return take_output();
}

void TlsSession::identify(Peer& peer) const {
    if (credentials_->certificates_ != nullptr) {
        peer.certificate_names = names_of(session_);
        return;
    }
    gnutls_datum_t identity{};
    if (gnutls_psk_server_get_username2(session_, &identity) != GNUTLS_E_SUCCESS) return;
    peer.psk_identity.assign(reinterpret_cast<const char*>(identity.data), identity.size);
}

std::string TlsSession::description() const {
    return fmt::format("{} {}", gnutls_protocol_get_name(gnutls_protocol_get_version(session_)),
                       gnutls_cipher_get_name(gnutls_cipher_get(session_)));
}

}  // namespace hyper
