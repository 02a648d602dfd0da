// SPDX-License-Identifier: Apache-2.0
// The server: loops in threads, listening sockets, and the clients that come in.
#pragma once

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
    // Closes every connection, and returns when the loops have ended.
    void stop();

  private:
    class Acceptor;

    Server(Watchers& watchers, unsigned workers);
    void accepted(UniqueFd fd, const std::shared_ptr<const Door>& door);
    bool admit(const std::string& origin, const Limits& limits);
    void leave(const std::string& origin);

    Watchers& watchers_;
    Workers workers_;
    std::vector<std::unique_ptr<Loop>> loops_;
    std::vector<std::unique_ptr<Acceptor>> acceptors_;
    std::vector<std::thread> threads_;
    size_t next_loop_ = 0;  // for the first loop, which accepts

    std::mutex mutex_;
    unsigned connections_ = 0;                    // guarded by mutex_
    std::map<std::string, unsigned> by_origin_;  // guarded by mutex_; none is 0
};

}  // namespace hyper::nbd
