// SPDX-License-Identifier: Apache-2.0
// The first phase of the protocol, option haggling, as a state machine without a socket: bytes go in, bytes come out, and what
// needs somebody else (opening an export, TLS) is said as a want.
//
// Design note. To be read beside the section "Handshake phase" of the NBD specification. Limits, since a client is a
// stranger here: an option's data of more than option_bytes_max is skipped unread and answered with TOO_BIG, and after
// options_max options the connection ends; of contexts, each of which holds memory while BLOCK_STATUS is answered, a client
// chooses contexts_max at most. Where TLS is required nothing but STARTTLS and ABORT is listened to before it, and
// nothing that was said before it is kept.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nbdserver/export.h"
#include "nbdserver/protocol.h"

namespace hyper::nbd {

using Bytes = std::vector<std::byte>;

// How requests and replies look.
enum class Mode { simple, structured, extended };

// A context that the client chose, with the number by which replies name it.
struct ChosenContext {
    uint32_t id;
    std::shared_ptr<const Context> context;
};

// What both sides agreed on.
struct Session {
    std::shared_ptr<const Export> exported;
    Mode mode = Mode::simple;
    std::vector<ChosenContext> contexts;
};

uint16_t transmission_flags(const Export& exported, Mode mode);

// Bound to one thread.
class Handshake {
  public:
    static constexpr size_t option_bytes_max = 64 << 10;
    static constexpr unsigned options_max = 1000;
    static constexpr size_t contexts_max = 64;

    enum class Tls { none, required, done };
    enum class Want {
        input,         // more bytes from the client
        list,          // the exports: then listed()
        open,          // the export wanted_name(): then opened()
        start_tls,     // send the output, then a TLS handshake, then tls_started()
        transmission,  // send the output; session() is agreed on
        close,         // send the output, then hang up
    };

    explicit Handshake(Tls tls) : tls_(tls) {}

    // To be sent before anything else.
    static void greet(Bytes& output);

    // Takes bytes from the front of `input` until something is wanted that is not input, or nothing is left. Replies are
    // appended to `output`.
    Want advance(std::span<const std::byte>& input, Bytes& output);

    const std::string& wanted_name() const { return name_; }
    void listed(std::span<const Listed> exports, Bytes& output);
    // Gives what is wanted next: input, transmission or close.
    Want opened(Result<std::shared_ptr<const Export>> exported, Bytes& output);
    void tls_started();

    const Session& session() const { return session_; }

  private:
    enum class State { client_flags, header, data, skip };

    Want option(std::span<const std::byte> data, Bytes& output);
    Want export_name(std::span<const std::byte> data);
    Want info_or_go(std::span<const std::byte> data, Bytes& output);
    Want meta_context(std::span<const std::byte> data, Bytes& output);
    Want mode_option(Mode mode, Bytes& output);
    Want starttls(std::span<const std::byte> data, Bytes& output);

    void describe_export(const Export& exported, Bytes& output);
    void describe_contexts(const Export& exported, Bytes& output);
    void enter(const std::shared_ptr<const Export>& exported);

    void reply(OptionReply type, std::span<const std::byte> data, Bytes& output) const;
    Want refuse(OptionReply type, std::string_view why, Bytes& output) const;

    Tls tls_;
    State state_ = State::client_flags;
    bool no_zeroes_ = false, fixed_ = false;
    unsigned options_ = 0;
    OptionHeader header_{};
    uint64_t skip_ = 0;
    Bytes partial_;

    std::string name_;                   // of the export that the present option is about
    std::vector<uint16_t> infos_;        // what INFO or GO asks for
    std::vector<std::string> queries_;   // what LIST_ or SET_META_CONTEXT asks for
    std::string contexts_name_;          // the export that session_.contexts are of
    Session session_;
};

}  // namespace hyper::nbd
