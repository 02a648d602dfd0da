// SPDX-License-Identifier: Apache-2.0
// TLS for connections, by GnuTLS, which is included in tls.cpp alone.
//
// A session knows no socket: ciphertext goes in as spans, plaintext and ciphertext come out as
// spans, so that the event loop owns all I/O. What a byte goes through: received ciphertext is read
// where the ring put it; GnuTLS decrypts it into a record of its own, which read() lends without a
// copy. Plaintext to send is encrypted record by record into GnuTLS's memory and copied once into
// the caller's buffer; only records that straddle parts are gathered before.
//
// TLS 1.3, or 1.2 for old clients. AES-128-GCM comes first, whatever the client prefers: with
// AES-NI it does 5.5 GB/s a core here, AES-256-GCM 5.1, and CHACHA20-POLY1305 0.33
// (gnutls_aead_cipher_encrypt of 16 KiB, EPYC, GnuTLS 3.7.9); write() of replies of 256 KiB then
// does 4.7, and read() 4.0. Key exchange is always ephemeral. No resumption, since a session that
// begins anew is judged by the certificates of today; no renegotiation; no early data. Kernel TLS
// is left out: it needs the kernel's tls module, which the machine that this was written on has
// not.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "blockengine/base/result.h"
#include "nbdserver/locks/config_file.h"
#include "nbdserver/locks/peer.h"

struct gnutls_session_int;
struct gnutls_certificate_credentials_st;
struct gnutls_psk_server_credentials_st;
struct gnutls_priority_st;
struct mbuffer_st;

namespace hyper {

// What the server proves itself with, and whom it trusts. Immutable and thread-safe: a reload makes
// a new one, and sessions under way keep theirs.
class TlsCredentials {
  public:
    // A folder with ca-cert.pem, server-cert.pem, server-key.pem, and ca-crl.pem if there is one. A
    // client must show a certificate of that CA, in date, not revoked, and not limited to other
    // uses than that of a client. Errors: those of the files (read_secret_file() for the key);
    // EINVAL for what is in them; a CRL that is out of date is taken, and refuses every client.
    static Result<std::shared_ptr<const TlsCredentials>> from_certificates(
        const std::string& folder);
    // For clients that prove who they are by other means, once they have seen who the server is: no
    // certificate is asked for. Both files are PEM. Errors: as above.
    static Result<std::shared_ptr<const TlsCredentials>> for_known_server(
        const std::string& certificate, const std::string& key);
    // Lines IDENTITY:KEY, the key in hexadecimal, as psktool writes them; empty lines are skipped.
    // Identities have 1 to 128 printable ASCII characters, keys 16 to 64 bytes. Errors: those of
    // read_secret_file(); EINVAL with file and line.
    static Result<std::shared_ptr<const TlsCredentials>> from_psk_file(const std::string& path);
    ~TlsCredentials();

  private:
    friend class TlsSession;
    TlsCredentials() = default;

    Result<void> load_server_key(const std::string& certificate, const std::string& key_file);

    gnutls_priority_st* priority_ = nullptr;
    bool clients_show_certificates_ = true;
    // One of the two is set.
    gnutls_certificate_credentials_st* certificates_ = nullptr;
    gnutls_psk_server_credentials_st* psk_ = nullptr;
    std::map<std::string, Secret, std::less<>> keys_;
};

// The server's side of one connection. Bound to one thread at a time. After an error the session is
// of no more use, except that farewell() tells the client.
//
//     ciphertext in     handshake(in), until done; its answer goes out first
//     more comes        while (plaintext = read(in)) use it
//     replies           write(parts, buffer), at most sealed_bytes_max() each
//     at the end        farewell()
class TlsSession {
  public:
    // Errors: ENOMEM.
    static Result<std::unique_ptr<TlsSession>> start(
        std::shared_ptr<const TlsCredentials> credentials);
    ~TlsSession();
    TlsSession(const TlsSession&) = delete;
    TlsSession& operator=(const TlsSession&) = delete;

    // Goes on with the handshake and moves `ciphertext` on behind what was used; true when it is
    // done, and then what is left of `ciphertext` is for read(). What take_output() has afterwards
    // must be sent. Errors: EACCES for a client that is not let in, EPROTO for all else that a
    // client can do wrong.
    Result<bool> handshake(std::span<const std::byte>& ciphertext);
    std::vector<std::byte> take_output() { return std::exchange(output_, {}); }

    // The plaintext of the next record, valid until the next call on this session; moves
    // `ciphertext` on. Empty when all of it was used and more is needed, or when the client has
    // said goodbye: see ended(). Part of a record is kept inside. Errors: EPROTO for a record that
    // was damaged or is none, and for renegotiation.
    Result<std::span<const std::byte>> read(std::span<const std::byte>& ciphertext);
    // The client has closed its side in order; what comes after it is ignored. A connection that
    // ends without was cut.
    bool ended() const { return ended_; }

    // Encrypts the parts, one after the other, as one stream into `out`; gives the number of bytes
    // written there. `out` has room for sealed_bytes_max(sum of parts), else ENOBUFS before
    // anything was done.
    Result<size_t> write(std::span<const std::span<const std::byte>> parts,
                         std::span<std::byte> out);
    // A client may ask for records as small as 511 bytes, of which each has up to 29 bytes of TLS;
    // and GnuTLS may put a key update before them by itself.
    static constexpr size_t sealed_bytes_max(size_t plaintext_bytes) {
        return plaintext_bytes + plaintext_bytes / 16 + 512;
    }

    // The last bytes to send: the alert that belongs to the error there was, else "close notify".
    std::vector<std::byte> farewell();

    // After the handshake: fills in certificate_names or psk_identity. Names with control
    // characters are left out.
    void identify(Peer& peer) const;
    // "TLS1.3 AES-128-GCM", for logs.
    std::string description() const;

  private:
    explicit TlsSession(std::shared_ptr<const TlsCredentials> credentials)
        : credentials_(std::move(credentials)) {}
    static ssize_t pull(void* self, void* data, size_t size);
    static int pull_timeout(void* self, unsigned ms);
    static ssize_t push(void* self, const void* data, size_t size);
    Error error_of(int code, std::string_view doing);
    Result<void> seal(std::span<const std::byte> record);

    const std::shared_ptr<const TlsCredentials> credentials_;
    gnutls_session_int* session_ = nullptr;
    mbuffer_st* lent_ = nullptr;        // the record that read() gave
    std::span<const std::byte> input_;  // what pull() reads, during a call
    std::span<std::byte> room_;  // what push() writes to during write(); else it appends to output_
    bool writing_ = false;
    std::vector<std::byte> output_;
    size_t record_bytes_ =
        0;  // the most plaintext in one record; the client may have asked for less than 16 KiB
    int last_error_ = 0;
    bool done_ = false;  // the handshake
    bool ended_ = false;
};

}  // namespace hyper
