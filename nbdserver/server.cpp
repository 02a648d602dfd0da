// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/server.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "blockengine/base/log.h"

namespace hyper::nbd {

namespace {

// How many may wait for a disk, or decompress, at a time.
unsigned worker_count() { return std::max(8u, 2 * std::thread::hardware_concurrency()); }

// Room for several large replies, so that the client finds the next while it takes one.
constexpr int send_buffer_bytes = 4 << 20;

void prepare_socket(int fd) {
    ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer_bytes, sizeof send_buffer_bytes);
    // splice(2) to a socket waits unless its descriptor does not.
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
}

}  // namespace

// Lives as long as the server; belongs to the first loop.
class Server::Acceptor : public Completion {
  public:
    Acceptor(Server& server, Listener listener, std::shared_ptr<const Door> door)
        : server_(server), listener_(std::move(listener)), door_(std::move(door)) {}

    void start() { server_.loops_[0]->ring().accept_many(*this, listener_.fd()); }

    void completed(int result, uint32_t flags) override {
        bool failed = result < 0 && result != -ECONNABORTED;
        if (failed && !failed_) log_warning("{}: accepting a connection: {}", listener_.text(), errno_text(-result));
        failed_ = failed;
        if (result >= 0) server_.accepted(UniqueFd(result), door_);
        if (Ring::more_to_come(flags)) return;
        // There may be no descriptor left; those who wait are still there a little later.
        if (failed)
            server_.loops_[0]->wake_after(again_, again_.deadline, 100'000'000);
        else
            start();
    }

  private:
    struct Again : Completion {
        Acceptor& acceptor;
        Ring::Deadline deadline{};
        explicit Again(Acceptor& owner) : acceptor(owner) {}
        void completed(int, uint32_t) override { acceptor.start(); }
    };

    Again again_{*this};
    bool failed_ = false;  // the last time, so that it is logged once
    Server& server_;
    const Listener listener_;
    const std::shared_ptr<const Door> door_;
};

Server::Server(Watchers& watchers, unsigned workers) : watchers_(watchers), workers_(workers) {}

Result<std::unique_ptr<Server>> Server::make(Engine& engine, Watchers& watchers, unsigned loops) {
    std::unique_ptr<Server> server(new Server(watchers, worker_count()));
    for (unsigned i = 0; i < loops; ++i) {
        watch::TraceRing* trace = watchers.trace != nullptr ? &watchers.trace->add_ring() : nullptr;
        server->loops_.push_back(TRY(Loop::make(engine, server->workers_, trace)));
    }
    for (auto& loop : server->loops_) server->threads_.emplace_back([&loop] { loop->run(); });
    return server;
}

Server::~Server() { stop(); }

void Server::stop() {
    for (auto& loop : loops_) loop->stop();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
}

void Server::listen(Listener listener, std::shared_ptr<const Door> door) {
    acceptors_.push_back(std::make_unique<Acceptor>(*this, std::move(listener), std::move(door)));
    loops_[0]->post([acceptor = acceptors_.back().get()] { acceptor->start(); });
}

bool Server::admit(const std::string& origin, const Limits& limits) {
    std::lock_guard lock(mutex_);
    auto at = by_origin_.find(origin);
    if (connections_ >= limits.connections || (at != by_origin_.end() && at->second >= limits.connections_per_peer))
        return false;
    ++connections_;
    ++by_origin_[origin];
    return true;
}

void Server::leave(const std::string& origin) {
    std::lock_guard lock(mutex_);
    --connections_;
    auto at = by_origin_.find(origin);
    if (--at->second == 0) by_origin_.erase(at);
}

void Server::accepted(UniqueFd fd, const std::shared_ptr<const Door>& door) {
    auto peer = peer_of(fd.get());
    if (!peer) return log_info("a client: {}", peer.error().message);
    auto rules = door->rules();
    if (!admit(peer->origin, rules->limits()))
        return log_warning("{}: turned away: it would exceed {} connections, or {} of one peer", peer->address,
                           rules->limits().connections, rules->limits().connections_per_peer);
    prepare_socket(fd.get());
    Loop& loop = *loops_[next_loop_++ % loops_.size()];
    loop.post([this, &loop, door, fd = std::make_shared<UniqueFd>(std::move(fd)), peer = std::move(*peer)] {
        auto* made = new Connection(loop, watchers_, door, std::move(*fd), peer);
        loop.add(std::shared_ptr<Connection>(made, [this, origin = peer.origin](Connection* gone) {
            delete gone;
            leave(origin);
        }));
    });
}

}  // namespace hyper::nbd
