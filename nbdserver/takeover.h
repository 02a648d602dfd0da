// SPDX-License-Identifier: Apache-2.0
// A new server takes over from a running one, and no client notices: `hypernbd --takeover PATH`.
//
// Design note. A server offers itself on a Unix stream socket at PATH. One that starts with the same PATH asks there:
//
//     new -> old   hello    version                          anything but `version` is refused, and the old one goes on
//     old -> new   hello    version
//     old -> new   socket   kind, name, path + descriptor    each listening socket, also this one and the control socket
//     old -> new   warm     export name                      what its clients read: to be opened before the pause begins
//     old -> new   end
//     new -> old   go       it is ready: files, rules, threads, sandbox
//     old -> new   file     path + descriptor                each that is open for writing, also between clients
//     old -> new   yours    it accepts nobody any more; the new one does from now on
//     old -> new   client   state + descriptor               each connection by itself, as soon as it has come to rest
//     new -> old   taken    for each: only then it reads from it, and only then the old one lets it go
//     old -> new   last     what has not moved stays
//
// A connection comes to rest when no request is in flight and each reply has left for the kernel. From `go` on the old
// server begins no request; of what has arrived already, only data of a write that was begun is still taken, and the rest goes
// along as bytes. So no client waits for another one's slow request. Where a file is written, its descriptor goes along, since the
// lock on it belongs to that descriptor: both servers hold it until the old one ends, and nobody comes between. (A file that only then is first opened, by a
// handshake under way or by a TLS client that stays, is held by whoever is first; the other gets EBUSY until then.)
//
// TLS sessions cannot move, for GnuTLS does not hand out its state. They stay, as do who writes a draft or an overlay, and whoever has not come to rest within
// `rest_ms_max`: the old server serves them until they leave, and then ends. A handshake under way is carried on by the old
// server, and moves when it is through.
//
// If the new server dies or says anything unexpected before `last`, the old one goes on with all it still has: listening
// sockets and whatever was not `taken`. Who may ask, and whom is answered to, is decided by the user: the same, or root.
//
// Left out on purpose: the counters of clients start anew; a trace is the process's own, so the new server needs
// another file.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "nbdserver/catalog_directory.h"
#include "nbdserver/locks/listen.h"
#include "nbdserver/server.h"
#include "nbdserver/watch/control.h"

namespace hyper::nbd {

// The old side: waits in a thread of its own for somebody who takes over.
class TakeoverOffer {
  public:
    static constexpr int rest_ms_max = 3000;
    static constexpr int answer_ms_max = 5000;   // for a client that was sent
    static constexpr int ready_ms_max = 120000;  // from hello to go

    // `server`, `directory`, and `control` where there is one (which answers at `control_path`), outlive it. `ended` is called once, by its
    // thread: everything has moved or left.
    static Result<std::unique_ptr<TakeoverOffer>> start(Listener listener, Server& server, CatalogDirectory& directory,
                                                        watch::Control* control, std::string control_path, std::function<void()> ended);
    // A takeover under way is given up.
    ~TakeoverOffer();

  private:
    // Shared with the loops, which may add to it after a takeover was given up.
    struct Queue {
        std::mutex mutex;
        std::deque<Resting> clients;  // guarded by mutex
        UniqueFd filled;              // an eventfd
    };

    TakeoverOffer(Listener listener, UniqueFd stop, Server& server, CatalogDirectory& directory, watch::Control* control,
                  std::string control_path, std::function<void()> ended);
    void run();
    enum class Woken { ready, timeout, stop, gone };
    // For `fd`; `session`, where one is given, is expected to say nothing meanwhile.
    Woken wait_for(int fd, int timeout_ms, int session = -1) const;
    Result<void> hand_over(int session);
    Result<void> offer(int session);
    using Files = std::vector<std::shared_ptr<WritableFile>>;
    Result<unsigned> move_clients(int session, Queue& queue);
    // Those that are not in `moved`.
    Result<void> move_files(int session, Files& moved);
    Result<void> move(int session, const Resting& client);

    Listener listener_;
    const UniqueFd stop_;
    Server& server_;
    CatalogDirectory& directory_;
    watch::Control* const control_;
    const std::string control_path_;
    const std::function<void()> ended_;

    std::thread thread_;
};

// The new side. Bound to one thread.
class Takeover {
  public:
    // nullptr where no server offers itself at `path`. Errors: EPERM for a server of another user, EPROTO for one that
    // refuses, and what the socket gives.
    static Result<std::unique_ptr<Takeover>> ask(const std::string& path);

    // The listening sockets of this name and path, each once; both sides have them open until `last`.
    std::vector<Listener> take(const std::string& name, const std::string& path);
    // Those that a service manager gave to the old server.
    std::vector<Listener> take_inherited();
    // The socket that offers, and the control socket's (empty where there was none).
    Result<Listener> take_offer();
    UniqueFd take_control(const std::string& path);

    // When all is ready, in this order. `directory` gets the files that are open for writing. From begin() on the old server accepts nobody.
    Result<void> begin(CatalogDirectory& directory);
    // Gives how many clients came over; those that may not be served any more are closed, and the log says why.
    Result<unsigned> receive(Server& server, const std::shared_ptr<const Door>& door, CatalogDirectory& directory);

  private:
    struct Socket {
        uint64_t kind;
        std::string name, path;
        UniqueFd fd;
    };
    explicit Takeover(UniqueFd session) : session_(std::move(session)) {}
    static void adopt_file(CatalogDirectory& directory, UniqueFd fd, const std::string& path);
    std::vector<Listener> take_if(const std::function<bool(const Socket&)>& wanted);

    const UniqueFd session_;
    std::vector<Socket> sockets_;
    std::vector<std::string> warm_;
};

}  // namespace hyper::nbd
