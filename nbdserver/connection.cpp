// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/connection.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "blockengine/base/log.h"

namespace hyper::nbd {

namespace {
constexpr uint64_t second_ns = 1000000000;
}

Connection::Connection(Loop& loop, int fd, std::string peer, std::shared_ptr<Directory> directory)
    : loop_(loop),
      fd_(fd),
      peer_(std::move(peer)),
      directory_(std::move(directory)),
      since_ns_(loop.now_ns()),
      handshake_(Handshake::Tls::none),
      output_(loop.pipes()) {}

Connection::~Connection() { ::close(fd_); }

void Connection::start() {
    Bytes greeting;
    Handshake::greet(greeting);
    output_.add_raw(greeting);
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
    ::shutdown(fd_, SHUT_RDWR);
    loop_.later(*this);
}

void Connection::check_deadlines() {
    uint64_t now = loop_.now_ns();
    if (!transmission_ && now > since_ns_ + handshake_seconds_max * second_ns) {
        if (!closed_) log_info("{}: closed: no handshake within {} seconds", peer_, handshake_seconds_max);
        close();
    }
    if (blocked_since_ns_ != 0 && now > blocked_since_ns_ + stall_seconds_max * second_ns && loop_.short_of_memory()) {
        if (!closed_) log_warning("{}: closed: it takes no replies while others wait for memory", peer_);
        close();
    }
}

void Connection::received(int result, uint32_t flags) {
    receiving_ = false;
    if (Ring::has_buffer(flags)) {
        Ring::Received data = loop_.ring().received(result < 0 ? 0 : result, flags);
        if (!closed_) consume(data.bytes);
        loop_.ring().give_back(data.buffer);
    }
    if (result == 0 || (result < 0 && result != -ENOBUFS && result != -EINTR && result != -EAGAIN)) {
        input_ended_ = true;
        if (transmission_) transmission_->end_input();
    }
    release();
}

void Connection::writable() {
    blocked_since_ns_ = 0;
    release();
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
        if (transmission_ && transmission_->disconnected()) input_ended_ = true;
    }
    if (input_ended_ || closed_) input = {};
    stash_.assign(input.begin(), input.end());
}

void Connection::haggle(std::span<const std::byte>& input) {
    Bytes replies;
    Handshake::Want want = handshake_.advance(input, replies);
    output_.add_raw(replies);
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
                if (!*exported) log_warning("{}: {}", peer_, exported->error().message);
                loop_.post([this, exported] { answer_open(std::move(*exported)); });
            });
            break;
        case Handshake::Want::start_tls:
            close();
            break;
        case Handshake::Want::transmission:
            transmission_.emplace(*this, handshake_.session());
            break;
        case Handshake::Want::close:
            input_ended_ = true;
            break;
    }
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

void Connection::flush() {
    if (blocked_since_ns_ != 0 || closed_) return;
    switch (output_.flush(fd_)) {
        case Output::Sent::all:
            break;
        case Output::Sent::blocked:
            blocked_since_ns_ = loop_.now_ns();
            hold();
            loop_.ring().poll(writable_, fd_, POLLOUT);
            break;
        case Output::Sent::broken:
            close();
            break;
    }
    if (transmission_) transmission_->sent(output_.take_released());
}

void Connection::receive_more() {
    if (receiving_ || closed_ || input_ended_ || answering_ || !stash_.empty()) return;
    receiving_ = true;
    hold();
    loop_.ring().receive(receive_, fd_);
}

void Connection::finish_turn() {
    dirty_ = false;
    flush();
    if (transmission_ && !closed_) transmission_->pump();
    if (!stash_.empty()) {
        Bytes input = std::exchange(stash_, {});
        consume(input);
        flush();
    }
    receive_more();
    if (input_ended_ && output_.empty() && !answering_ && (!transmission_ || transmission_->idle())) close();
    if (closed_ && holds_ == 0 && !std::exchange(removed_, true)) loop_.remove(*this);
}

}  // namespace hyper::nbd
