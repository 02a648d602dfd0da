// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/watch/control.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <thread>

#include "blockengine/base/log.h"
#include "blockengine/base/unique_fd.h"
#include "http/exchange.h"

namespace hyper::watch {

namespace {

http::Answer answer_of(Answer answer) {
    http::Answer made{answer.status, std::move(answer.content_type), std::move(answer.body)};
    if (!answer.allow.empty()) made.headers.emplace_back("Allow", answer.allow);
    return made;
}

http::Limits limits() {
    std::chrono::milliseconds time(Control::request_ms_max);
    return {.request_bytes_max = Control::request_bytes_max, .body_bytes_max = Control::request_bytes_max, .request_max = time, .answer_max = time};
}

http::Handler handler_over(Registry& registry, OfferedList offered, Commits& commits) {
    http::Handler handler;
    handler.answer = [&registry, offered = std::move(offered), &commits](const http::Request& request) {
        return answer_of(answer_to(request.method, request.path, registry, offered, commits));
    };
    handler.malformed = [](int status, const std::string& message) { return answer_of(error_answer(status, message)); };
    return handler;
}

Result<sockaddr_un> address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path)
        return fail(ENAMETOOLONG, "control socket {}: the path must have 1 to {} bytes", path,
                    sizeof address.sun_path - 1);
    path.copy(address.sun_path, path.size());
    return address;
}

Result<UniqueFd> unix_socket(const std::string& path) {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (fd.get() < 0) return fail(errno, "control socket {}: create: {}", path, errno_text(errno));
    return fd;
}

// Removes a socket that a server left behind.
Result<void> remove_stale(const std::string& path, const sockaddr_un& address) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) return {};
    if (!S_ISSOCK(status.st_mode))
        return fail(EEXIST, "control socket {}: there is something else", path);
    UniqueFd probe = TRY(unix_socket(path));
    if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
        errno != ECONNREFUSED)
        return fail(EADDRINUSE,
                    "control socket {}: another server listens there; choose another path", path);
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
        return fail(errno, "control socket {}: remove the old one: {}", path, errno_text(errno));
    return {};
}

Result<UniqueFd> listen_on(const std::string& path) {
    sockaddr_un address = TRY(address_of(path));
    auto folder = std::filesystem::path(path).parent_path();
    if (!folder.empty() && ::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
        return fail(errno, "control socket {}: make its folder: {}", path, errno_text(errno));
    TRY(remove_stale(path, address));
    UniqueFd fd = TRY(unix_socket(path));
    // Linux gives the file that bind() makes the mode of the socket, so there is no moment at which
    // others may connect.
    if (::fchmod(fd.get(), 0600) != 0 ||
        ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(fd.get(), Control::waiting_max) != 0)
        return fail(errno, "control socket {}: listen: {}", path, errno_text(errno));
    return fd;
}

// Beside the socket's mode, which does not bind those who were handed a descriptor of its folder.
bool is_allowed(int fd) {
    ucred peer{};
    socklen_t size = sizeof peer;
    return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == 0 || peer.uid == ::geteuid());
}

class ListeningControl : public Control {
  public:
    ListeningControl(std::string path, UniqueFd listener, UniqueFd stop, Registry& registry,
                     OfferedList offered, CommitVolume commit)
        : path_(std::move(path)),
          listener_(std::move(listener)),
          stop_(std::move(stop)),
          commits_(std::move(commit)),
          handler_(handler_over(registry, std::move(offered), commits_)),
          thread_([this] { serve(); }) {
        struct stat status {};
        if (::lstat(path_.c_str(), &status) == 0) inode_ = status.st_ino;
    }
    ~ListeningControl() override {
        ::eventfd_write(stop_.get(), 1);
        thread_.join();
        struct stat status {};
        if (::lstat(path_.c_str(), &status) == 0 && status.st_ino == inode_)
            ::unlink(path_.c_str());
    }
    int fd() const override { return listener_.get(); }
    void leave() override {
        ::eventfd_write(stop_.get(), 1);
        inode_ = 0;
    }

  private:
    void serve() {
        for (;;) {
            pollfd fds[] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
            if (::poll(fds, 2, -1) < 0 && errno != EINTR) break;
            if (fds[1].revents != 0) return;
            UniqueFd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
            if (peer.get() >= 0)
                is_allowed(peer.get())
                    ? http::serve(peer.get(), nullptr, limits_, handler_)
                    : log_warning("control socket {}: refused a stranger", path_);
            else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
                ::poll(&fds[1], 1,
                       100);  // descriptors may come back; the connection waits meanwhile
        }
        log_error("control socket {}: no longer served: {}", path_, errno_text(errno));
    }

    const std::string path_;
    const UniqueFd listener_, stop_;
    ino_t inode_ = 0;
    const http::Limits limits_ = limits();
    Commits commits_;
    const http::Handler handler_;
    std::thread thread_;
};

Result<std::unique_ptr<Control>> make(UniqueFd listener, const std::string& path, Registry& registry, OfferedList offered, CommitVolume commit) {
    UniqueFd stop(::eventfd(0, EFD_CLOEXEC));
    if (stop.get() < 0)
        return fail(errno, "control socket {}: eventfd: {}", path, errno_text(errno));
    return std::make_unique<ListeningControl>(path, std::move(listener), std::move(stop), registry,
                                              std::move(offered), std::move(commit));
}

}  // namespace

Result<std::unique_ptr<Control>> Control::start(const std::string& path, Registry& registry,
                                                OfferedList offered, CommitVolume commit) {
    UniqueFd listener = TRY(listen_on(path));
    return make(std::move(listener), path, registry, std::move(offered), std::move(commit));
}

Result<std::unique_ptr<Control>> Control::adopt(int fd, const std::string& path, Registry& registry, OfferedList offered, CommitVolume commit) {
    return make(UniqueFd(fd), path, registry, std::move(offered), std::move(commit));
}

}  // namespace hyper::watch
