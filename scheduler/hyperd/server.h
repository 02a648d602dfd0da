// SPDX-License-Identifier: Apache-2.0
// hyperd's doors: accepts connections, and serves each on a thread of its own, through the gate and then the router.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "http/exchange.h"
#include "nbdserver/locks/listen.h"
#include "nbdserver/locks/tls.h"
#include "scheduler/hyperd/gate.h"
#include "scheduler/hyperd/router.h"

namespace hyper::hyperd {

struct Door {
    Listener listener;
    std::shared_ptr<const TlsCredentials> credentials;  // nullptr: no TLS, for Unix sockets and loopback
};

class Server {
  public:
    static constexpr int connections_max = 64;  // by TCP; and as many on Unix sockets, which the former cannot use up
    static constexpr size_t body_bytes_max = 256 << 10, head_bytes_max = 32 << 10;

    // `gate` and `router` outlive it. Errors: what the system says.
    static Result<std::unique_ptr<Server>> start(std::vector<Door> doors, Gate& gate, const Router& router);
    // Nobody is let in any more, connections are cut, and their threads waited for.
    ~Server();

  private:
    struct Connection {
        UniqueFd fd;
        bool remote = false;
        std::thread thread;
        bool done = false;  // guarded by mutex_
    };
    Server(std::vector<Door> doors, Gate& gate, const Router& router, UniqueFd stop);
    void accept_all();
    void let_in(const Door& door);
    void serve(int fd, const Door& door);
    void reap(bool all);

    const std::vector<Door> doors_;
    Gate& gate_;
    const Router& router_;
    const UniqueFd stop_;
    std::mutex mutex_;
    std::list<Connection> connections_;  // guarded by mutex_, but for what only the accepting thread uses
    std::thread thread_;
};

}  // namespace hyper::hyperd
