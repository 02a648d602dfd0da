// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "blockengine/base/log.h"
#include "nbdserver/locks/peer.h"
#include "scheduler/hyperd/problem.h"

namespace hyper::hyperd {

namespace {

const http::Limits limits{.request_bytes_max = Server::head_bytes_max + Server::body_bytes_max,
                          .body_bytes_max = Server::body_bytes_max,
                          .request_max = std::chrono::seconds(5),
                          .answer_max = std::chrono::seconds(10)};

// For whom there is no thread: without looking at what is asked.
void send_away(int fd) {
    constexpr std::string_view text =
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    ssize_t ignored = ::send(fd, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)ignored;
}

}  // namespace

Server::Server(std::vector<Door> doors, Gate& gate, const Router& router, UniqueFd stop)
    : doors_(std::move(doors)), gate_(gate), router_(router), stop_(std::move(stop)) {
    thread_ = std::thread([this] { accept_all(); });
}

Result<std::unique_ptr<Server>> Server::start(std::vector<Door> doors, Gate& gate, const Router& router) {
    UniqueFd stop(::eventfd(0, EFD_CLOEXEC));
    if (!stop) return fail(errno, "make an eventfd: {}", errno_text(errno));
    return std::unique_ptr<Server>(new Server(std::move(doors), gate, router, std::move(stop)));
}

Server::~Server() {
    ::eventfd_write(stop_.get(), 1);
    thread_.join();
    reap(true);
}

void Server::reap(bool all) {
    std::list<Connection> ended;
    {
        std::lock_guard lock(mutex_);
        for (auto at = connections_.begin(); at != connections_.end();) {
            auto next = std::next(at);
            if (all) ::shutdown(at->fd.get(), SHUT_RDWR);
            if (all || at->done) ended.splice(ended.end(), connections_, at);
            at = next;
        }
    }
    for (Connection& connection : ended) connection.thread.join();
}

void Server::accept_all() {
    std::vector<pollfd> fds;
    for (const Door& door : doors_) fds.push_back({door.listener.fd(), POLLIN, 0});
    fds.push_back({stop_.get(), POLLIN, 0});
    for (;;) {
        // Threads that have ended are joined now and then, not only when somebody comes.
        if (::poll(fds.data(), fds.size(), 10'000) < 0 && errno != EINTR) break;
        if (fds.back().revents != 0) return;
        reap(false);
        for (size_t i = 0; i < doors_.size(); ++i)
            if (fds[i].revents != 0) let_in(doors_[i]);
    }
    log_error("the API is no longer served: {}", errno_text(errno));
}

void Server::let_in(const Door& door) {
    UniqueFd fd(::accept4(door.listener.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) {
        // Descriptors may come back; whoever waits, waits.
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) ::poll(nullptr, 0, 100);
        return;
    }
    std::lock_guard lock(mutex_);
    bool remote = door.listener.remote();
    if (std::ranges::count(connections_, remote, &Connection::remote) >= connections_max) return send_away(fd.get());
    Connection& connection = connections_.emplace_back();
    connection.fd = std::move(fd);
    connection.remote = remote;
    connection.thread = std::thread([this, &connection, &door] {
        serve(connection.fd.get(), door);
        ::shutdown(connection.fd.get(), SHUT_RDWR);
        std::lock_guard done(mutex_);
        connection.done = true;
    });
}

void Server::serve(int fd, const Door& door) {
    auto peer = peer_of(fd);
    if (!peer) return;
    std::unique_ptr<TlsSession> tls;
    if (door.credentials) {
        auto made = TlsSession::start(door.credentials);
        if (!made) return;
        tls = std::move(*made);
    }
    Caller caller;
    http::Handler handler;
    handler.refuse = [&](const http::Request& request) -> std::optional<http::Answer> {
        auto judged = gate_.judge(request, *peer, tls != nullptr, std::chrono::steady_clock::now());
        if (auto* answer = std::get_if<http::Answer>(&judged)) return std::move(*answer);
        caller = std::get<Caller>(std::move(judged));
        return std::nullopt;
    };
    handler.answer = [&](const http::Request& request) { return router_.answer(request, caller); };
    handler.malformed = [](int status, const std::string& message) { return problem(status, message); };
    http::serve(fd, tls.get(), limits, handler);
}

}  // namespace hyper::hyperd
