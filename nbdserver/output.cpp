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
    size_t raw = std::min(bytes, raw_.size());
    raw_.erase(raw_.begin(), raw_.begin() + static_cast<ptrdiff_t>(raw));
    bytes -= raw;
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

size_t Output::front(std::vector<std::span<const std::byte>>& spans, size_t spans_max, size_t bytes_max) const {
    spans.clear();
    size_t total = 0, skip = sent_;
    auto add = [&](std::span<const std::byte> bytes) {
        size_t skipped = std::min(skip, bytes.size());
        skip -= skipped;
        bytes = bytes.subspan(skipped).first(std::min(bytes.size() - skipped, bytes_max - total));
        if (!bytes.empty()) spans.push_back(bytes);
        total += bytes.size();
    };
    if (!raw_.empty()) {
        size_t first_items = std::exchange(skip, 0);
        add(raw_);
        skip = first_items;
    }
    for (const OutItem& item : items_) {
        if (item.pipe || spans.size() + 2 > spans_max || total == bytes_max) break;
        add(item.head.bytes());
        add({item.body.data(), item.body_bytes});
    }
    return total;
}

Output::Sent Output::flush(int fd) {
    while (!empty()) {
        bool piped = raw_.empty() && items_.front().pipe;
        Step step = piped ? send_pipe(fd) : send_buffers(fd);
        if (step == Step::blocked) return Sent::blocked;
        if (step == Step::broken) return Sent::broken;
    }
    return Sent::all;
}

namespace {

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK; }

}  // namespace

// Many replies in one call.
Output::Step Output::send_buffers(int fd) {
    front(spans_, vectors_max, SIZE_MAX);
    std::array<iovec, vectors_max> vectors;
    for (size_t i = 0; i < spans_.size(); ++i)
        vectors[i] = {const_cast<std::byte*>(spans_[i].data()), spans_[i].size()};
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = spans_.size();
    ssize_t sent = ::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
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
