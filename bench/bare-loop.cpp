// SPDX-License-Identifier: Apache-2.0
// bare-loop: how fast bytes of a cached file can go through a Unix socket at all, how fast an NBD server sends them, and how long it lets
// many clients wait.
//
//     bare-loop limit FILE SECONDS      a process reads the file from start to end, again and again, and sends it
//     bare-loop nbd SOCKET SECONDS      reads the default export of an NBD server in the same way, 16 requests ahead
//     bare-loop busy SOCKET SECONDS     64 connections, each of which reads 4 KiB somewhere as soon as it has its last answer
//
// The first two send 256 KiB behind 16 bytes, as NBD's simple replies do, to the same receiver; but before the limit stands no request, and
// nothing looks at what is sent. They print MiB a second. The third prints the 99th percentile of the microseconds from request to answer. It is
// one thread, so that all its clients ask at once: of as many processes, those of a server with many threads hardly get to start.
// Blocking calls on both sides, a thread each.
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "bench/sockets.h"
#include "blockengine/base/bytes.h"
#include "nbdserver/protocol.h"

namespace {

using namespace hyper;
using namespace hyper::nbd;
using std::chrono::steady_clock;

constexpr uint32_t body_bytes = 256 << 10;
constexpr unsigned requests_ahead = 16;
constexpr size_t busy_connections = 64;
constexpr uint32_t busy_bytes = 4096;
[[noreturn]] void die(const std::string& what) {
    std::fprintf(stderr, "bare-loop: %s: %s\n", what.c_str(), std::strerror(errno));
    std::exit(1);
}

void take(int fd, void* into, size_t bytes) {
    if (!receive(fd, into, bytes)) die("receive");
}

void give(int fd, const void* from, size_t bytes) {
    if (!send_all(fd, from, bytes)) die("send");
}

// Receives replies for a while, and calls `ask` after each. Returns MiB a second.
template <class Ask>
double receive_replies(int fd, double seconds, Ask ask) {
    std::vector<char> body(body_bytes);
    auto began = steady_clock::now();
    std::chrono::duration<double> passed{};
    uint64_t replies = 0;
    do {
        SimpleReply head;
        take(fd, &head, sizeof head);
        if (head.magic != magic_simple_reply || head.error != 0) {
            errno = EPROTO;
            die("reply");
        }
        take(fd, body.data(), body.size());
        ++replies;
        ask();
        passed = steady_clock::now() - began;
    } while (passed.count() < seconds);
    return static_cast<double>(replies) * body_bytes / (1 << 20) / passed.count();
}

uint64_t next_offset(uint64_t offset, uint64_t size_bytes) {
    return offset + 2 * uint64_t{body_bytes} <= size_bytes ? offset + body_bytes : 0;
}

[[noreturn]] void send_file(int file, uint64_t size_bytes, int fd) {
    struct {
        SimpleReply head;
        char body[body_bytes];
    } static reply;
    for (uint64_t offset = 0;; offset = next_offset(offset, size_bytes)) {
        if (::pread(file, reply.body, body_bytes, static_cast<off_t>(offset)) != body_bytes)
            die("read");
        give(fd, &reply, sizeof reply);
    }
}

double measure_limit(const char* path, double seconds) {
    int file = ::open(path, O_RDONLY | O_CLOEXEC);
    struct stat about;
    if (file < 0 || ::fstat(file, &about) != 0) die(path);
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) die("socketpair");
    want_send_buffer(ends[1]);
    pid_t sender = ::fork();
    if (sender < 0) die("fork");
    if (sender == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        send_file(file, static_cast<uint64_t>(about.st_size), ends[1]);
    }
    ::close(ends[1]);
    double rate = receive_replies(ends[0], seconds, [] {});
    ::kill(sender, SIGKILL);
    return rate;
}

int connect_to(const char* path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
        die(path);
    return fd;
}

// EXPORT_NAME, after which replies are simple ones. Returns the export's size.
uint64_t shake_hands(int fd) {
    Greeting greeting;
    take(fd, &greeting, sizeof greeting);
    be32 flags = FIXED_NEWSTYLE | NO_ZEROES;
    give(fd, &flags, sizeof flags);
    OptionHeader option;
    option.magic = magic_option;
    option.option = OPT_EXPORT_NAME;
    option.length = 0;
    give(fd, &option, sizeof option);
    struct {
        be64 size_bytes;
        be16 flags;
    } told;
    take(fd, &told, sizeof told);
    return told.size_bytes;
}

void ask_for(int fd, uint64_t offset, uint32_t bytes) {
    CompactRequest request;
    request.magic = magic_request;
    request.flags = 0;
    request.type = CMD_READ;
    request.cookie = offset;
    request.offset = offset;
    request.length = bytes;
    give(fd, &request, sizeof request);
}

double measure_server(const char* path, double seconds) {
    int fd = connect_to(path);
    uint64_t size_bytes = shake_hands(fd), offset = 0;
    auto ask = [&] {
        ask_for(fd, offset, body_bytes);
        offset = next_offset(offset, size_bytes);
    };
    for (unsigned i = 0; i < requests_ahead; ++i) ask();
    return receive_replies(fd, seconds, ask);
}

double measure_waits(const char* path, double seconds) {
    std::mt19937_64 draw(1);
    std::vector<pollfd> clients(busy_connections);
    std::vector<steady_clock::time_point> asked(busy_connections);
    std::vector<double> waits_us;
    uint64_t blocks = 0;
    auto ask = [&](size_t client) {
        asked[client] = steady_clock::now();
        ask_for(clients[client].fd, draw() % blocks * busy_bytes, busy_bytes);
    };
    for (pollfd& client : clients) {
        client = {connect_to(path), POLLIN, 0};
        blocks = shake_hands(client.fd) / busy_bytes;
    }
    if (blocks == 0) errno = ENOSPC, die("a block to read");
    const auto began = steady_clock::now();
    for (size_t i = 0; i < clients.size(); ++i) ask(i);
    while (std::chrono::duration<double>(steady_clock::now() - began).count() < seconds) {
        if (::poll(clients.data(), clients.size(), -1) < 0) die("poll");
        for (size_t i = 0; i < clients.size(); ++i) {
            if (clients[i].revents == 0) continue;
            char reply[sizeof(SimpleReply) + busy_bytes];
            take(clients[i].fd, reply, sizeof reply);
            waits_us.push_back(std::chrono::duration<double, std::micro>(steady_clock::now() - asked[i]).count());
            ask(i);
        }
    }
    auto slow = waits_us.begin() + static_cast<ptrdiff_t>(waits_us.size() * 99 / 100);
    std::nth_element(waits_us.begin(), slow, waits_us.end());
    return *slow;
}

}  // namespace

int main(int argc, char** argv) {
    std::string how = argc == 4 ? argv[1] : "";
    if (how != "limit" && how != "nbd" && how != "busy") {
        std::fprintf(stderr, "usage: bare-loop limit FILE SECONDS | nbd SOCKET SECONDS | busy SOCKET SECONDS\n");
        return 2;
    }
    double seconds = std::atof(argv[3]);
    auto measure = how == "limit" ? measure_limit : how == "nbd" ? measure_server : measure_waits;
    std::printf("%.1f\n", measure(argv[2], seconds));
}
