// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/connection.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "blockengine/base/log.h"

namespace hyper::nbd {

namespace {

constexpr uint64_t second_ns = 1000000000;
// Plaintext that is sealed at a time.
constexpr size_t seal_bytes_max = 256 << 10;
constexpr size_t seal_spans_max = 256;

// TLS answers requests for the identity of who asks by what it proved, a Unix socket by the user.
std::string identity_of(const Peer& peer) {
    if (!peer.psk_identity.empty()) return peer.psk_identity;
    if (!peer.certificate_names.empty()) return peer.certificate_names.front();
    return peer.uid ? fmt::format("uid {}", *peer.uid) : "";
}

// Names are the client's own words: they are shortened and shown without control characters; and what anybody can
// cause at will is no warning.
void log_refusal(const Peer& peer, const Error& error) {
    constexpr size_t shown_max = 300;
    bool harmless = error.code == ENOENT || error.code == EACCES || error.code == EINVAL;
    std::string line =
        fmt::format("{}: {:?}", peer.address, std::string_view(error.message).substr(0, shown_max));
    log_line(harmless ? LogLevel::info : LogLevel::warning, line);
}

}  // namespace

Connection::Connection(Loop& loop, Watchers& watchers, std::shared_ptr<const Door> door, UniqueFd fd, Peer peer)
    : loop_(loop),
      watchers_(watchers),
      door_(std::move(door)),
      fd_(std::move(fd)),
      peer_(std::move(peer)),
      since_ns_(loop.now_ns()),
      handshake_ns_max_(door_->rules()->limits().handshake_seconds * second_ns),
      credentials_(door_->credentials()),
      directory_(credentials_ ? nullptr : door_->directory_for(peer_)),
      handshake_(credentials_ ? Handshake::Tls::required : Handshake::Tls::none),
      output_(loop.pipes()) {}

Connection::Connection(Loop& loop, Watchers& watchers, std::shared_ptr<const Door> door, UniqueFd fd, Peer peer,
                       const Session& session, Bytes unread)
    : Connection(loop, watchers, std::move(door), std::move(fd), std::move(peer)) {
    adopted_ = session;
    stash_ = std::move(unread);
}

Connection::~Connection() = default;

void Connection::start() {
    if (adopted_) {
        transmit(*adopted_);
        adopted_.reset();
    } else {
        Bytes greeting;
        Handshake::greet(greeting);
        output_.add_raw(greeting);
    }
    loop_.later(*this);
}

void Connection::release() {
    --holds_;
    loop_.later(*this);
}

// What is under way ends soon: the socket gives an end of file, and no reply is sent any more.
void Connection::close() {
    if (closed_) return;
    closed_ = true;
    if (tls_ && alerts_.empty() && sealed_sent_ == sealed_end_) {
        Bytes farewell = tls_->farewell();
        [[maybe_unused]] ssize_t sent = ::send(fd_.get(), farewell.data(), farewell.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    ::shutdown(fd_.get(), SHUT_RDWR);
    loop_.later(*this);
}

// Going to another server.

void Connection::pause() {
    if (!pausing()) return;
    // A receive that is not for the rest of a write or a handshake would take a request away from the other server.
    if (receiving_ && transmission_ && !transmission_->in_payload()) loop_.ring().cancel(receive_);
    loop_.later(*this);
}

void Connection::resume() {
    resting_ = false;
    loop_.later(*this);
}

bool Connection::at_rest() const {
    return pausing() && transmission_ && transmission_->idle() && !transmission_->disconnected() && output_.empty() &&
           holds_ == 0 && !closed_ && !input_ended_;
}

Result<Resting> Connection::rest() {
    UniqueFd fd(::fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));
    if (!fd) return fail(errno, "{}: duplicate its descriptor: {}", peer_.address, errno_text(errno));
    auto begun = transmission_->begun_header();
    Bytes unread(begun.begin(), begun.end());
    unread.insert(unread.end(), stash_.begin(), stash_.end());
    auto let_go = [&loop = loop_, weak = weak_from_this()] {
        loop.post([weak] {
            if (auto connection = weak.lock()) connection->let_go();
        });
    };
    return Resting{std::move(fd), transmission_->session(), std::move(unread), let_go};
}

// As close(), but for the socket, which somebody else has.
void Connection::let_go() {
    closed_ = true;
    loop_.later(*this);
}

void Connection::check_deadlines() {
    uint64_t now = loop_.now_ns();
    if (!transmission_ && !closed_ && now > since_ns_ + handshake_ns_max_) {
        log_info("{}: closed: no handshake within {} seconds", peer_.address, handshake_ns_max_ / second_ns);
        close();
    }
    bool stalled = blocked_since_ns_ != 0 && now > blocked_since_ns_ + stall_seconds_max * second_ns;
    if (stalled && !closed_ && loop_.short_of_memory()) {
        log_warning("{}: closed: it takes no replies while others wait for memory", peer_.address);
        close();
    }
}

// What comes in.

void Connection::received(int result, uint32_t flags) {
    receiving_ = false;
    if (Ring::has_buffer(flags)) {
        Ring::Received data = loop_.ring().received(std::max(result, 0), flags);
        if (!closed_ && tls_)
            take_ciphertext(data.bytes);
        else if (!closed_)
            consume(data.bytes);
        loop_.ring().give_back(data.buffer);
    }
    if (result == 0 || (result < 0 && result != -ENOBUFS && result != -EINTR && result != -EAGAIN && result != -ECANCELED))
        end_input();
    release();
}

// Replies to what was asked before are still sent.
void Connection::end_input() {
    input_ended_ = true;
    if (transmission_) transmission_->end_input();
}

void Connection::take_ciphertext(std::span<const std::byte> input) {
    auto broken = [this](const Error& error) {
        log_info("{}: {}", peer_.address, error.message);
        close();
    };
    if (!tls_established_) {
        auto done = tls_->handshake(input);
        auto words = tls_->take_output();
        alerts_.insert(alerts_.end(), words.begin(), words.end());
        if (!done) {
            flush();
            return broken(done.error());
        }
        if (*done) finish_tls_handshake();
    }
    while (tls_established_ && !closed_ && !input_ended_ && stash_.empty()) {
        auto plain = tls_->read(input);
        if (!plain) return broken(plain.error());
        if (plain->empty()) break;
        consume(*plain);
    }
    if (tls_->ended()) end_input();
    stashed_ciphertext_.assign(input.begin(), input.end());
}

void Connection::consume(std::span<const std::byte> input) {
    // A client that asks and asks without listening is not answered further.
    constexpr size_t raw_bytes_max = 64 << 10;
    while (!input.empty() && !closed_ && !input_ended_ && !answering_) {
        if (!transmission_ && output_.raw_bytes() > raw_bytes_max)
            break;
        else if (!transmission_)
            haggle(input);
        else if (!transmission_->take(input))
            break;
        if (transmission_ && transmission_->disconnected()) end_input();
    }
    if (input_ended_ || closed_) input = {};
    stash_.assign(input.begin(), input.end());
}

// The handshake.

void Connection::haggle(std::span<const std::byte>& input) {
    Bytes replies;
    Handshake::Want want = handshake_.advance(input, replies);
    output_.add_raw(replies);
    // What came in the clear behind STARTTLS was put there by somebody else.
    if (want == Handshake::Want::start_tls && !input.empty()) {
        log_warning("{}: closed: plain text behind STARTTLS", peer_.address);
        return close();
    }
    act(want);
}

void Connection::act(Handshake::Want want) {
    switch (want) {
        case Handshake::Want::input:
            break;
        case Handshake::Want::list:
            answering_ = true;
            hold();
            loop_.workers().submit(this, [this, directory = directory_] {
                auto exports = std::make_shared<std::vector<Listed>>(directory->list());
                loop_.post([this, exports] { answer_list(std::move(*exports)); });
            });
            break;
        case Handshake::Want::open:
            answering_ = true;
            hold();
            loop_.workers().submit(this, [this, directory = directory_, name = handshake_.wanted_name()] {
                auto exported = std::make_shared<Result<std::shared_ptr<const Export>>>(directory->open(name));
                if (!*exported) log_refusal(peer_, exported->error());
                loop_.post([this, exported] { answer_open(std::move(*exported)); });
            });
            break;
        case Handshake::Want::start_tls:
            start_tls();
            break;
        case Handshake::Want::transmission:
            transmit(handshake_.session());
            break;
        case Handshake::Want::close:
            end_input();
            break;
    }
}

// The answer to STARTTLS is the last that leaves in the clear.
void Connection::start_tls() {
    flush();
    auto session = TlsSession::start(credentials_);
    if (!output_.empty() || !session) return close();
    tls_ = std::move(*session);
}

void Connection::finish_tls_handshake() {
    tls_established_ = true;
    tls_->identify(peer_);
    directory_ = door_->directory_for(peer_);
    handshake_.tls_started();
}

void Connection::transmit(const Session& session) {
    std::string name = session.exported->name;
    watch::ClientInfo info{peer_.address, identity_of(peer_), name, tls_ != nullptr, session.exported->writable != nullptr};
    auto client = watchers_.registry.add_client(std::move(info), [this, weak = weak_from_this()] {
        loop_.post([weak] {
            if (auto connection = weak.lock()) connection->close();
        });
    });
    uint32_t trace_id = watchers_.trace != nullptr ? watchers_.trace->export_id(name) : 0;
    transmission_.emplace(*this, session, std::move(client), trace_id);
}

void Connection::answer_list(std::vector<Listed> exports) {
    answering_ = false;
    Bytes replies;
    handshake_.listed(exports, replies);
    output_.add_raw(replies);
    release();
}

void Connection::answer_open(Result<std::shared_ptr<const Export>> exported) {
    answering_ = false;
    Bytes replies;
    Handshake::Want want = handshake_.opened(std::move(exported), replies);
    output_.add_raw(replies);
    act(want);
    release();
}

// What goes out.

Output::Sent Connection::send_sealed() {
    while (sealed_sent_ < sealed_end_ || !alerts_.empty()) {
        bool alert = sealed_sent_ == sealed_end_;
        ssize_t sent = alert ? ::send(fd_.get(), alerts_.data(), alerts_.size(), MSG_DONTWAIT | MSG_NOSIGNAL)
                             : ::send(fd_.get(), sealed_.data() + sealed_sent_, sealed_end_ - sealed_sent_,
                                      MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) return errno == EAGAIN ? Output::Sent::blocked : Output::Sent::broken;
        if (alert)
            alerts_.erase(alerts_.begin(), alerts_.begin() + sent);
        else
            sealed_sent_ += static_cast<size_t>(sent);
    }
    sealed_ = {};
    sealed_sent_ = sealed_end_ = 0;
    return Output::Sent::all;
}

Output::Sent Connection::seal_and_send() {
    for (;;) {
        Output::Sent sent = send_sealed();
        if (sent != Output::Sent::all || output_.empty() || !tls_established_) return sent;
        size_t bytes = output_.front(spans_, seal_spans_max, seal_bytes_max);
        size_t room = TlsSession::sealed_bytes_max(bytes);
        sealed_ = loop_.buffers().take(room);
        auto sealed = tls_->write(spans_, {sealed_.data(), room});
        if (!sealed) return Output::Sent::broken;
        sealed_end_ = *sealed;
        output_.consume(bytes);
    }
}

void Connection::flush() {
    if (blocked_since_ns_ != 0 || closed_) return;
    switch (tls_ ? seal_and_send() : output_.flush(fd_.get())) {
        case Output::Sent::all:
            break;
        case Output::Sent::blocked:
            blocked_since_ns_ = loop_.now_ns();
            hold();
            loop_.ring().poll(writable_, fd_.get(), POLLOUT);
            break;
        case Output::Sent::broken:
            close();
            break;
    }
    if (transmission_) transmission_->sent(output_.take_released());
}

void Connection::writable() {
    blocked_since_ns_ = 0;
    release();
}

void Connection::receive_more() {
    if (receiving_ || closed_ || input_ended_ || answering_ || !stash_.empty() || !stashed_ciphertext_.empty()) return;
    if (pausing() && transmission_ && !transmission_->in_payload()) return;
    receiving_ = true;
    hold();
    loop_.ring().receive(receive_, fd_.get());
}

void Connection::finish_turn() {
    dirty_ = false;
    flush();
    if (transmission_ && !closed_) transmission_->pump();
    if (!closed_ && !stash_.empty()) {
        Bytes input = std::exchange(stash_, {});
        consume(input);
        flush();
    }
    if (!closed_ && stash_.empty() && !stashed_ciphertext_.empty()) {
        Bytes input = std::exchange(stashed_ciphertext_, {});
        take_ciphertext(input);
        flush();
    }
    receive_more();
    if (!resting_ && at_rest()) {
        resting_ = true;
        loop_.rested(*this);
    }
    bool silent = output_.empty() && alerts_.empty() && sealed_sent_ == sealed_end_;
    if (input_ended_ && silent && !answering_ && (!transmission_ || transmission_->idle())) close();
    if (closed_ && holds_ == 0 && !std::exchange(removed_, true)) loop_.remove(*this);
}

}  // namespace hyper::nbd
