// SPDX-License-Identifier: Apache-2.0
// The server: loops in threads, listening sockets, and the clients that come in.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "nbdserver/connection.h"
#include "nbdserver/door.h"
#include "nbdserver/locks/listen.h"
#include "nbdserver/loop.h"
#include "nbdserver/workers.h"

namespace hyper::nbd {

// Bound to the thread that makes it; its loops run in threads of their own until stop().
class Server {
  public:
    // `engine` and `watchers` outlive the server.
    static Result<std::unique_ptr<Server>> make(Engine& engine, Watchers& watchers, unsigned loops);
    ~Server();

    // Serves whoever connects; the listener stays open as long as the server lives.
    void listen(Listener listener, std::shared_ptr<const Door> door);
    // For a takeover (takeover.h). From pause() on nobody is accepted, and `rested` is called, by any loop's thread, for
    // each connection without TLS that has come to rest.
    void pause(std::function<void(Resting)> rested);
    // Connections go on, and so does accepting unless leave_listeners() came first.
    void resume();
    // Closes the listening sockets but leaves their paths. After pause().
    void leave_listeners();
    std::vector<const Listener*> listeners() const;
    // The exports that clients read, without those that they write.
    std::vector<std::string> exports_read() const;
    // Serves a client in the transmission phase; no limit turns it away.
    void adopt(UniqueFd fd, Peer peer, std::shared_ptr<const Door> door, Session session, Bytes unread);
    // Connections that came by a Unix socket, and so without TLS.
    unsigned local_connections();
    // Calls `empty` once, by any thread, when no connection is left.
    void when_empty(std::function<void()> empty);

    // Closes every connection, and returns when the loops have ended.
    void stop();

  private:
    class Acceptor;

    Server(Watchers& watchers, unsigned workers);
    void accepted(UniqueFd fd, const std::shared_ptr<const Door>& door);
    bool admit(const Peer& peer, const Limits& limits);
    void enter(const Peer& peer);  // with mutex_
    void leave(const Peer& peer);
    // Gives `loop` the connection that `make` makes there.
    void add(Loop& loop, const Peer& peer, std::function<Connection*()> make);

    Watchers& watchers_;
    std::vector<std::unique_ptr<Loop>> loops_;
    Workers workers_;  // after the loops, so that it ends before them: it posts to them
    std::vector<std::unique_ptr<Acceptor>> acceptors_;
    std::vector<std::thread> threads_;
    std::atomic<size_t> next_loop_ = 0;

    std::mutex mutex_;
    unsigned connections_ = 0, local_connections_ = 0;  // guarded by mutex_
    std::function<void()> empty_;                       // guarded by mutex_
    std::map<std::string, unsigned> by_origin_;  // guarded by mutex_; none is 0
};

}  // namespace hyper::nbd
