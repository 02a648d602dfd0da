// SPDX-License-Identifier: Apache-2.0
// The server: loops in threads, listening sockets, and the clients that come in.
#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "nbdserver/export.h"
#include "nbdserver/loop.h"
#include "nbdserver/workers.h"

namespace hyper::nbd {

// Bound to the thread that makes it; its loops run in threads of their own until stop().
class Server {
  public:
    static constexpr unsigned connections_max = 4096;

    // `engine` outlives the server.
    static Result<std::unique_ptr<Server>> make(Engine& engine, unsigned loops);
    ~Server();

    // Serves whoever connects to this listening socket, which is taken over.
    void listen(int fd, std::shared_ptr<Directory> directory);
    // Closes every connection, and returns when the loops have ended.
    void stop();

  private:
    class Acceptor;

    explicit Server(unsigned workers);
    void accepted(int fd, const std::shared_ptr<Directory>& directory);

    Workers workers_;
    std::vector<std::unique_ptr<Loop>> loops_;
    std::vector<std::unique_ptr<Acceptor>> acceptors_;
    std::vector<std::thread> threads_;
    size_t next_loop_ = 0;  // for the first loop, which accepts
    std::atomic<unsigned> connections_ = 0;
};

}  // namespace hyper::nbd
