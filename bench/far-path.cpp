// SPDX-License-Identifier: Apache-2.0
// far-path: a TCP proxy that makes a server on this machine as far away as one likes.
//
//     far-path LISTEN_PORT SERVER_PORT ROUND_TRIP_MS MBIT_PER_SECOND
//
// Each direction is a link that all connections share: bytes leave one after the other at the bandwidth given (0: without limit), and arrive
// half a round trip after they left. A connection may have window_bytes on its way, more than any path measured here holds, so that neither
// windows nor lost packets limit anybody. Prints nothing; ends by a signal.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t chunk_bytes = 64 << 10, window_bytes = 32 << 20;

// Thread-safe.
class Link {
  public:
    Link(std::chrono::nanoseconds delay, double bytes_per_ns) : delay_(delay), bytes_per_ns_(bytes_per_ns) {}

    // When so many bytes that are there now arrive at the other end.
    Clock::time_point arrival(size_t bytes) {
        std::lock_guard lock(mutex_);
        free_ = std::max(free_, Clock::now());
        if (bytes_per_ns_ > 0) free_ += std::chrono::nanoseconds(static_cast<int64_t>(static_cast<double>(bytes) / bytes_per_ns_));
        return free_ + delay_;
    }

  private:
    const std::chrono::nanoseconds delay_;
    const double bytes_per_ns_;
    std::mutex mutex_;
    Clock::time_point free_{};  // guarded by mutex_
};

// Both sockets of a connection, closed when the last of its threads has gone.
struct Pair {
    const int client, server;
    Pair(int client_fd, int server_fd) : client(client_fd), server(server_fd) {}
    Pair(const Pair&) = delete;
    Pair& operator=(const Pair&) = delete;
    ~Pair() {
        ::close(client);
        ::close(server);
    }
};

// One direction of a connection: a thread that receives and one that sends when the time has come.
class Direction : public std::enable_shared_from_this<Direction> {
  public:
    Direction(std::shared_ptr<Pair> pair, int from, int to, Link& link) : pair_(std::move(pair)), from_(from), to_(to), link_(link) {}

    void start() {
        std::thread([self = shared_from_this()] { self->receive(); }).detach();
        std::thread([self = shared_from_this()] { self->send(); }).detach();
    }

  private:
    struct Chunk {
        Clock::time_point at;
        std::vector<char> bytes;  // none at the end
    };

    void receive() {
        for (bool more = true; more;) {
            std::vector<char> bytes(chunk_bytes);
            ssize_t count = ::recv(from_, bytes.data(), bytes.size(), 0);
            bytes.resize(count > 0 ? static_cast<size_t>(count) : 0);
            more = count > 0;
            auto at = link_.arrival(bytes.size());
            std::unique_lock lock(mutex_);
            changed_.wait(lock, [&] { return held_ < window_bytes; });
            held_ += bytes.size();
            chunks_.push_back({at, std::move(bytes)});
            changed_.notify_all();
        }
    }
    void send() {
        for (;;) {
            Chunk chunk;
            {
                std::unique_lock lock(mutex_);
                changed_.wait(lock, [&] { return !chunks_.empty(); });
                chunk = std::move(chunks_.front());
                chunks_.pop_front();
                held_ -= chunk.bytes.size();
                changed_.notify_all();
            }
            std::this_thread::sleep_until(chunk.at);
            size_t sent = 0;
            while (sent < chunk.bytes.size()) {
                ssize_t count = ::send(to_, chunk.bytes.data() + sent, chunk.bytes.size() - sent, MSG_NOSIGNAL);
                if (count <= 0) break;
                sent += static_cast<size_t>(count);
            }
            if (chunk.bytes.empty() || sent < chunk.bytes.size()) {
                ::shutdown(to_, SHUT_WR);
                ::shutdown(from_, SHUT_RD);
                if (chunk.bytes.empty()) return;
            }
        }
    }

    const std::shared_ptr<Pair> pair_;
    const int from_, to_;
    Link& link_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Chunk> chunks_;  // guarded by mutex_
    size_t held_ = 0;           // guarded by mutex_
};

sockaddr_in at_port(const char* port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(std::strtoul(port, nullptr, 10)));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

[[noreturn]] void fail(const char* what) {
    std::perror(what);
    std::exit(1);
}

int no_delay(int fd) {
    int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) {
        std::fprintf(stderr, "usage: far-path LISTEN_PORT SERVER_PORT ROUND_TRIP_MS MBIT_PER_SECOND\n");
        return 2;
    }
    auto delay = std::chrono::nanoseconds(static_cast<int64_t>(std::strtod(argv[3], nullptr) * 500'000));
    double bytes_per_ns = std::strtod(argv[4], nullptr) / 8000;
    Link up(delay, bytes_per_ns), down(delay, bytes_per_ns);
    sockaddr_in here = at_port(argv[1]), there = at_port(argv[2]);
    int listening = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    ::setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(listening, reinterpret_cast<sockaddr*>(&here), sizeof here) != 0 || ::listen(listening, 64) != 0) fail("far-path: listen");
    for (;;) {
        int client = ::accept4(listening, nullptr, nullptr, SOCK_CLOEXEC);
        if (client < 0) fail("far-path: accept");
        int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        auto pair = std::make_shared<Pair>(no_delay(client), no_delay(server));
        if (::connect(server, reinterpret_cast<sockaddr*>(&there), sizeof there) != 0) continue;
        std::make_shared<Direction>(pair, client, server, up)->start();
        std::make_shared<Direction>(pair, server, client, down)->start();
    }
}
