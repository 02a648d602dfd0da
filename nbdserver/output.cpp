// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/output.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>

namespace hyper::nbd {

Output::~Output() {
    for (OutItem& item : items_) drop(item);
}

// A pipe that still has something in it is of no use to anybody else.
void Output::drop(OutItem& item) {
    if (!item.pipe) return;
    bool drained = &item == &items_.front() && sent_ == item.head.bytes().size() + item.body_bytes;
    if (drained)
        pipes_.put(std::move(item.pipe));
    else
        pipes_.forget();
}

void Output::pop() {
    OutItem& item = items_.front();
    released_ += item.charge;
    drop(item);
    items_.pop_front();
    sent_ = 0;
}

void Output::consume(size_t bytes) {
    while (bytes > 0) {
        const OutItem& item = items_.front();
        size_t rest = item.head.bytes().size() + item.body_bytes - sent_;
        if (bytes < rest) {
            sent_ += bytes;
            return;
        }
        bytes -= rest;
        sent_ += rest;
        pop();
    }
}

Output::Sent Output::flush(int fd) {
    while (!empty()) {
        Step step = !raw_.empty() ? send_raw(fd) : items_.front().pipe ? send_pipe(fd) : send_buffers(fd);
        if (step == Step::blocked) return Sent::blocked;
        if (step == Step::broken) return Sent::broken;
    }
    return Sent::all;
}

namespace {

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK; }

}  // namespace

Output::Step Output::send_raw(int fd) {
    ssize_t sent = ::send(fd, raw_.data(), raw_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) return would_block() ? Step::blocked : errno == EINTR ? Step::progress : Step::broken;
    raw_.erase(raw_.begin(), raw_.begin() + sent);
    return Step::progress;
}

// Many replies in one call.
Output::Step Output::send_buffers(int fd) {
    std::array<iovec, vectors_max> vectors;
    size_t count = 0, skip = sent_;
    auto add = [&](const std::byte* data, size_t bytes) {
        size_t skipped = std::min(skip, bytes);
        skip -= skipped;
        if (bytes > skipped) vectors[count++] = {const_cast<std::byte*>(data) + skipped, bytes - skipped};
    };
    bool pipe_follows = false;
    for (const OutItem& item : items_) {
        if (count + 2 > vectors_max) break;
        pipe_follows = static_cast<bool>(item.pipe);
        if (pipe_follows) break;
        add(item.head.bytes().data(), item.head.bytes().size());
        add(item.body.data(), item.body_bytes);
    }
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = count;
    ssize_t sent = ::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL | (pipe_follows ? MSG_MORE : 0));
    if (sent < 0) return would_block() ? Step::blocked : errno == EINTR ? Step::progress : Step::broken;
    consume(static_cast<size_t>(sent));
    return Step::progress;
}

// The socket takes the file's pages themselves. It does not block, since the descriptor does not.
Output::Step Output::send_pipe(int fd) {
    const OutItem& item = items_.front();
    std::span<const std::byte> head = item.head.bytes();
    ssize_t sent;
    if (sent_ < head.size()) {
        sent = ::send(fd, head.data() + sent_, head.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE);
    } else {
        size_t rest = head.size() + item.body_bytes - sent_;
        sent = ::splice(item.pipe.read_end(), nullptr, fd, nullptr, rest, SPLICE_F_NONBLOCK);
        if (sent == 0) return Step::broken;
    }
    if (sent < 0) return would_block() ? Step::blocked : errno == EINTR ? Step::progress : Step::broken;
    consume(static_cast<size_t>(sent));
    return Step::progress;
}

}  // namespace hyper::nbd
