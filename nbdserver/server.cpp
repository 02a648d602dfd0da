// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/server.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <latch>
#include <optional>
#include <set>
#include <utility>

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

    // All in the loop's thread.
    void start() {
        accepting_ = true;
        server_.loops_[0]->ring().accept_many(*this, listener_->fd());
    }
    // `stopped` is called when nobody is accepted any more.
    void pause(std::function<void()> stopped) {
        paused_ = true;
        if (!accepting_) return stopped();
        stopped_ = std::move(stopped);
        server_.loops_[0]->ring().cancel(*this);
    }
    void resume() {
        if (!listener_ || !std::exchange(paused_, false) || accepting_ || waiting_) return;
        start();
    }
    void leave_listener() {
        listener_->leave_path();
        listener_.reset();
    }
    const Listener* listener() const { return listener_ ? &*listener_ : nullptr; }

    void completed(int result, uint32_t flags) override {
        bool failed = result < 0 && result != -ECONNABORTED && result != -ECANCELED;
        if (failed && !failed_) log_warning("{}: accepting a connection: {}", listener_->text(), errno_text(-result));
        failed_ = failed;
        if (result >= 0) server_.accepted(UniqueFd(result), door_);
        if (Ring::more_to_come(flags)) return;
        accepting_ = false;
        if (paused_) return std::exchange(stopped_, nullptr)();
        // There may be no descriptor left; those who wait are still there a little later.
        if (failed) {
            waiting_ = true;
            server_.loops_[0]->wake_after(again_, again_.deadline, 100'000'000);
        } else {
            start();
        }
    }

  private:
    struct Again : Completion {
        Acceptor& acceptor;
        Ring::Deadline deadline{};
        explicit Again(Acceptor& owner) : acceptor(owner) {}
        void completed(int, uint32_t) override {
            acceptor.waiting_ = false;
            if (!acceptor.paused_) acceptor.start();
        }
    };

    Again again_{*this};
    bool failed_ = false;  // the last time, so that it is logged once
    bool accepting_ = false, waiting_ = false, paused_ = false;
    std::function<void()> stopped_;
    Server& server_;
    std::optional<Listener> listener_;  // not there any more after leave_listener()
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

bool Server::admit(const Peer& peer, const Limits& limits) {
    std::lock_guard lock(mutex_);
    auto at = by_origin_.find(peer.origin);
    if (connections_ >= limits.connections || (at != by_origin_.end() && at->second >= limits.connections_per_peer))
        return false;
    enter(peer);
    return true;
}

void Server::enter(const Peer& peer) {
    ++connections_;
    if (peer.local) ++local_connections_;
    ++by_origin_[peer.origin];
}

void Server::leave(const Peer& peer) {
    std::lock_guard lock(mutex_);
    --connections_;
    if (peer.local) --local_connections_;
    auto at = by_origin_.find(peer.origin);
    if (--at->second == 0) by_origin_.erase(at);
    if (connections_ == 0 && empty_) std::exchange(empty_, nullptr)();
}

void Server::accepted(UniqueFd fd, const std::shared_ptr<const Door>& door) {
    auto peer = peer_of(fd.get());
    if (!peer) return log_info("a client: {}", peer.error().message);
    auto rules = door->rules();
    if (!admit(*peer, rules->limits()))
        return log_warning("{}: turned away: it would exceed {} connections, or {} of one peer", peer->address,
                           rules->limits().connections, rules->limits().connections_per_peer);
    prepare_socket(fd.get());
    Loop& loop = *loops_[next_loop_++ % loops_.size()];
    add(loop, *peer, [this, &loop, door, fd = std::make_shared<UniqueFd>(std::move(fd)), peer = *peer] {
        return new Connection(loop, watchers_, door, std::move(*fd), peer);
    });
}

void Server::add(Loop& loop, const Peer& peer, std::function<Connection*()> make) {
    loop.post([this, &loop, peer, make = std::move(make)] {
        loop.add(std::shared_ptr<Connection>(make(), [this, peer](Connection* gone) {
            delete gone;
            leave(peer);
        }));
    });
}

// Takeover.

void Server::pause(std::function<void(Resting)> rested) {
    auto stopped = std::make_shared<std::latch>(static_cast<std::ptrdiff_t>(acceptors_.size()));
    for (auto& acceptor : acceptors_)
        loops_[0]->post([stopped, acceptor = acceptor.get()] { acceptor->pause([stopped] { stopped->count_down(); }); });
    stopped->wait();
    for (auto& loop : loops_)
        loop->post([&loop = *loop, rested] {
            loop.pause([rested](Connection& connection) {
                auto resting = connection.rest();
                if (!resting) return log_warning("it stays with this server: {}", resting.error().message);
                rested(std::move(*resting));
            });
        });
}

void Server::resume() {
    for (auto& acceptor : acceptors_) loops_[0]->post([acceptor = acceptor.get()] { acceptor->resume(); });
    for (auto& loop : loops_) loop->post([&loop = *loop] { loop.resume(); });
}

void Server::leave_listeners() {
    for (auto& acceptor : acceptors_) loops_[0]->post([acceptor = acceptor.get()] { acceptor->leave_listener(); });
}

std::vector<const Listener*> Server::listeners() const {
    std::vector<const Listener*> list;
    for (const auto& acceptor : acceptors_) list.push_back(acceptor->listener());
    return list;
}

std::vector<std::string> Server::exports_read() const {
    std::set<std::string> names;
    for (const watch::ClientSnapshot& client : watchers_.registry.clients())
        if (!client.info.writable) names.insert(client.info.export_name);
    return {names.begin(), names.end()};
}

void Server::adopt(UniqueFd fd, Peer peer, std::shared_ptr<const Door> door, Session session, Bytes unread) {
    {
        std::lock_guard lock(mutex_);
        enter(peer);
    }
    Loop& loop = *loops_[next_loop_++ % loops_.size()];
    add(loop, peer, [this, &loop, peer, door = std::move(door), session = std::move(session), unread = std::move(unread),
                     fd = std::make_shared<UniqueFd>(std::move(fd))] {
        return new Connection(loop, watchers_, door, std::move(*fd), peer, session, unread);
    });
}

unsigned Server::local_connections() {
    std::lock_guard lock(mutex_);
    return local_connections_;
}

void Server::when_empty(std::function<void()> empty) {
    std::lock_guard lock(mutex_);
    if (connections_ == 0) return empty();
    empty_ = std::move(empty);
}

}  // namespace hyper::nbd
