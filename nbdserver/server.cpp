// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "blockengine/base/log.h"
#include "nbdserver/connection.h"

namespace hyper::nbd {

namespace {

// How many may wait for a disk, or decompress, at a time.
unsigned worker_count() { return std::max(8u, 2 * std::thread::hardware_concurrency()); }

// Room for several large replies, so that the client finds the next while it takes one.
constexpr int send_buffer_bytes = 4 << 20;

void prepare_socket(int fd) {
    int one = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer_bytes, sizeof send_buffer_bytes);
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    // splice(2) to a socket waits unless its descriptor does not.
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
}

std::string peer_text(int fd) {
    ucred credentials{};
    socklen_t length = sizeof credentials;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return "client";
    return fmt::format("unix uid {} pid {}", credentials.uid, credentials.pid);
}

}  // namespace

// Lives as long as the server; belongs to the first loop.
class Server::Acceptor : public Completion {
  public:
    Acceptor(Server& server, int fd, std::shared_ptr<Directory> directory)
        : server_(server), fd_(fd), directory_(std::move(directory)) {}
    ~Acceptor() { ::close(fd_); }

    void start() { server_.loops_[0]->ring().accept_many(*this, fd_); }

    void completed(int result, uint32_t flags) override {
        if (result >= 0) server_.accepted(result, directory_);
        if (result < 0 && result != -ECANCELED) log_warning("accepting a connection: {}", errno_text(-result));
        if (!Ring::more_to_come(flags) && result != -ECANCELED) start();
    }

  private:
    Server& server_;
    const int fd_;
    const std::shared_ptr<Directory> directory_;
};

Server::Server(unsigned workers) : workers_(workers) {}

Result<std::unique_ptr<Server>> Server::make(Engine& engine, unsigned loops) {
    std::unique_ptr<Server> server(new Server(worker_count()));
    for (unsigned i = 0; i < loops; ++i) server->loops_.push_back(TRY(Loop::make(engine, server->workers_)));
    for (auto& loop : server->loops_) server->threads_.emplace_back([&loop] { loop->run(); });
    return server;
}

Server::~Server() { stop(); }

void Server::stop() {
    for (auto& loop : loops_) loop->stop();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
}

void Server::listen(int fd, std::shared_ptr<Directory> directory) {
    acceptors_.push_back(std::make_unique<Acceptor>(*this, fd, std::move(directory)));
    loops_[0]->post([acceptor = acceptors_.back().get()] { acceptor->start(); });
}

void Server::accepted(int fd, const std::shared_ptr<Directory>& directory) {
    if (connections_ >= connections_max) {
        log_warning("a client is turned away: there are {} connections already", connections_max);
        ::close(fd);
        return;
    }
    ++connections_;
    prepare_socket(fd);
    Loop& loop = *loops_[next_loop_++ % loops_.size()];
    loop.post([this, &loop, fd, directory] {
        std::shared_ptr<Connection> connection(new Connection(loop, fd, peer_text(fd), directory), [this](Connection* gone) {
            delete gone;
            --connections_;
        });
        loop.add(std::move(connection));
    });
}

}  // namespace hyper::nbd
