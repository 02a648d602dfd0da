// SPDX-License-Identifier: Apache-2.0
// bare-server: an NBD server that has no disk, so how fast a client is by itself.
//
//     bare-server SOCKET BYTES      serves a disk of that size on a Unix socket until it is killed
//
// It answers reads with bytes that nobody has read, and drops what is written; its replies are simple ones. A thread for each client, blocking
// calls; what has arrived together is answered together. It trusts its client.
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "bench/sockets.h"
#include "blockengine/base/bytes.h"
#include "nbdserver/protocol.h"

namespace {

using namespace hyper;
using namespace hyper::nbd;

constexpr size_t received_bytes_max = 512 << 10;
constexpr size_t answered_bytes_max = 256 << 10;  // replies are sent when they are as many

// Options are refused but for the choice of an export. false when the client has left.
bool shake_hands(int fd, uint64_t size_bytes) {
    Greeting greeting;
    be32 client_flags;
    if (!send_all(fd, &greeting, sizeof greeting) || !receive(fd, &client_flags, sizeof client_flags)) return false;
    struct {
        be16 info = INFO_EXPORT;
        be64 size_bytes;
        be16 flags = HAS_FLAGS | SEND_FLUSH | SEND_FUA | CAN_MULTI_CONN;
    } disk;
    disk.size_bytes = size_bytes;
    OptionHeader option;
    while (receive(fd, &option, sizeof option)) {
        std::vector<char> data(option.length);
        if (!receive(fd, data.data(), data.size())) return false;
        if (option.option == OPT_EXPORT_NAME) return send_all(fd, &disk.size_bytes, sizeof disk - sizeof disk.info);
        auto reply = [&](uint32_t type, const void* body, uint32_t bytes) {
            OptionReplyHeader head;
            head.option = option.option;
            head.type = type;
            head.length = bytes;
            return send_all(fd, &head, sizeof head) && send_all(fd, body, bytes);
        };
        if (option.option == OPT_GO) return reply(REP_INFO, &disk, sizeof disk) && reply(REP_ACK, nullptr, 0);
        if (!reply(REP_ERR_UNSUP, nullptr, 0)) return false;
    }
    return false;
}

class Client {
  public:
    explicit Client(int fd) : fd_(fd), arrived_(received_bytes_max) {}

    // Until the client leaves.
    void serve() {
        want_send_buffer(fd_);
        for (;;) {
            ssize_t got = ::recv(fd_, arrived_.data(), arrived_.size(), 0);
            if (got <= 0 || !take({arrived_.data(), static_cast<size_t>(got)}) || !send_replies()) return;
        }
    }

  private:
    // false when the client leaves.
    bool take(std::span<const char> bytes) {
        while (!bytes.empty()) {
            // What belongs to the request, its head and what is written, is taken before it is answered.
            size_t part = std::min<size_t>(filled_ < sizeof request_ ? sizeof request_ - filled_ : payload_left_, bytes.size());
            if (filled_ < sizeof request_) {
                std::memcpy(reinterpret_cast<char*>(&request_) + filled_, bytes.data(), part);
                filled_ += part;
                payload_left_ = filled_ == sizeof request_ && request_.type == CMD_WRITE ? uint32_t{request_.length} : 0;
            } else {
                payload_left_ -= part;
            }
            bytes = bytes.subspan(part);
            if (filled_ < sizeof request_ || payload_left_ > 0) continue;
            filled_ = 0;
            if (request_.type == CMD_DISC || !answer()) return false;
        }
        return true;
    }

    bool answer() {
        SimpleReply head;
        head.error = 0;
        head.cookie = request_.cookie;
        size_t body_bytes = request_.type == CMD_READ ? uint32_t{request_.length} : 0;
        if (replies_.size() < used_ + sizeof head + body_bytes) replies_.resize(used_ + sizeof head + body_bytes);
        std::memcpy(replies_.data() + used_, &head, sizeof head);
        used_ += sizeof head + body_bytes;
        return used_ < answered_bytes_max || send_replies();
    }

    bool send_replies() { return send_all(fd_, replies_.data(), std::exchange(used_, 0)); }

    const int fd_;
    CompactRequest request_;
    size_t filled_ = 0;
    uint64_t payload_left_ = 0;
    std::vector<char> arrived_, replies_;
    size_t used_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: bare-server SOCKET BYTES\n");
        return 2;
    }
    const uint64_t size_bytes = std::strtoull(argv[2], nullptr, 10);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::snprintf(address.sun_path, sizeof address.sun_path, "%s", argv[1]);
    int listening = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listening < 0 || ::bind(listening, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(listening, SOMAXCONN) != 0) {
        std::fprintf(stderr, "bare-server: %s: %s\n", argv[1], std::strerror(errno));
        return 1;
    }
    for (;;) {
        int fd = ::accept(listening, nullptr, nullptr);
        if (fd < 0) continue;
        std::thread([fd, size_bytes] {
            if (shake_hands(fd, size_bytes)) Client(fd).serve();
            ::close(fd);
        }).detach();
    }
}
