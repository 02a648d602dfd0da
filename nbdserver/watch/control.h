// SPDX-License-Identifier: Apache-2.0
// The control socket: HTTP on a Unix socket, for hyperctl, Prometheus and scripts. What it answers
// is in routes.h.
//
// One thread serves one request a connection (http/exchange.h), one after the other, with limits on
// bytes and on time.
#pragma once

#include <memory>
#include <string>

#include "blockengine/base/result.h"
#include "nbdserver/watch/routes.h"

namespace hyper::watch {

class Control {
  public:
    static constexpr size_t request_bytes_max = 32 << 10;
    static constexpr int request_ms_max = 2000;  // for the whole of it; also for the answer
    static constexpr int waiting_max = 64;       // connections that wait to be served

    // Listens on `path`, which only this user and root can connect to, and starts the thread. The
    // folder is made (0700) where only it is missing. A socket that nobody listens on any more is
    // replaced. `registry` and what `offered` and `commit` use outlive the control. Errors: EADDRINUSE where a
    // server listens there; EEXIST where something else is there; ENAMETOOLONG; what the system
    // says.
    static Result<std::unique_ptr<Control>> start(const std::string& path, Registry& registry,
                                                  OfferedList offered, CommitVolume commit);
    // The listening socket of another process's Control, which calls leave().
    static Result<std::unique_ptr<Control>> adopt(int fd, const std::string& path, Registry& registry, OfferedList offered,
                                                  CommitVolume commit);
    virtual int fd() const = 0;
    // Answers no more, and leaves the socket at its path: it is another process's now.
    virtual void leave() = 0;
    // Waits for the request that is being served, at most as long as the limits above say, and for commits that can't be given up any
    // more. The socket is removed.
    virtual ~Control() = default;
};

}  // namespace hyper::watch
