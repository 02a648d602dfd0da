// SPDX-License-Identifier: Apache-2.0
// Listening sockets: made here, or given by a service manager. All are stream sockets,
// close-on-exec and non-blocking; those of TCP hand TCP_NODELAY and SO_KEEPALIVE on to what they
// accept.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "blockengine/base/result.h"
#include "blockengine/base/unique_fd.h"

namespace hyper {

// How many clients may wait to be accepted; the kernel lowers it to net.core.somaxconn.
inline constexpr int backlog = 1024;

// One listening socket. Bound to one thread.
class Listener {
  public:
    // A listening stream socket that another process made; `name` is what its service manager calls
    // it. Sets close-on-exec and non-blocking. Errors: EINVAL for anything else, saying what it is.
    static Result<Listener> adopt(UniqueFd fd, std::string name);

    Listener(Listener&&) = default;
    Listener& operator=(Listener&&) = delete;
    // Closes the socket; removes the path of one made by listen_unix(), if it still leads to this
    // socket.
    ~Listener();

    int fd() const { return fd_.get(); }
    // "unix /run/hyper/nbd.sock", "192.0.2.1:10809", "[::]:10809", "vsock any:10809"
    const std::string& text() const { return text_; }
    // What a service manager calls it, which has no ":"; WHERE of listen_network(); else empty.
    const std::string& name() const { return name_; }
    bool remote() const { return remote_; }  // not a Unix socket, so TLS is a must
    // Empty for a socket whose path this process does not remove.
    const std::string& path() const { return path_; }

    // For a socket that goes to another process: that process removes the path now, and this one
    // does not.
    void leave_path() { path_.clear(); }
    // The other side of it: removes `path` at the end, if it leads to this socket, which is a Unix
    // one. Errors: EINVAL if it does not.
    Result<void> own_path(const std::string& path);

  private:
    friend Result<Listener> listen_unix(const std::string& path);
    explicit Listener(UniqueFd fd) : fd_(std::move(fd)) {}

    UniqueFd fd_;
    std::string text_, name_;
    bool remote_ = true;
    std::string path_;
    dev_t device_ = 0;  // of path_
    ino_t inode_ = 0;
};

// A Unix socket of mode 0600, from its first moment on. What a dead server left at `path` is
// replaced, but only a socket that nobody listens at. Errors: EADDRINUSE where a server lives;
// EEXIST for what is no socket; ENAMETOOLONG over 107 bytes; EAGAIN where somebody else keeps the
// folder locked.
Result<Listener> listen_unix(const std::string& path);

// HOST:PORT, [IPv6]:PORT, vsock:PORT or vsock:CID:PORT: a socket for every address that the host
// has. 0.0.0.0 and [::] are all addresses of one family. Errors: EINVAL for other text, ENOENT for
// an unknown host.
Result<std::vector<Listener>> listen_network(std::string_view where);

// What the service manager handed over, by LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES
// (sd_listen_fds(3)); nothing if those are not there or for another process. They are taken out of
// the environment, so no child inherits them.
struct Inherited {
    struct Stored {
        std::string name;
        UniqueFd fd;
    };
    std::vector<Listener> listeners;
    std::vector<Stored> stored;  // what does not listen: descriptors of the FD store
};
// To be called once, before other threads run. Errors: EINVAL for what contradicts itself, or is
// not open.
Result<Inherited> take_inherited();

}  // namespace hyper
