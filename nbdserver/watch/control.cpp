// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/watch/control.h"

#include <httplib.h>
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

namespace hyper::watch {

namespace {

// One connection, as httplib wants it. Everything has to be done by a deadline, and no more than
// request_bytes_max are read.
class PeerStream : public httplib::Stream {
  public:
    explicit PeerStream(int fd) : fd_(fd) {}

    bool is_readable() const override { return left_bytes_ > 0 && wait(POLLIN); }
    bool is_writable() const override { return wait(POLLOUT); }
    ssize_t read(char* to, size_t size) override {
        if (!is_readable()) return -1;
        ssize_t got = ::recv(fd_, to, std::min(size, left_bytes_), MSG_DONTWAIT);
        if (got > 0) left_bytes_ -= static_cast<size_t>(got);
        return got;
    }
    ssize_t write(const char* from, size_t size) override {
        if (!answering_) deadline_ = Clock::now() + limit;
        answering_ = true;
        return is_writable() ? ::send(fd_, from, size, MSG_DONTWAIT | MSG_NOSIGNAL) : -1;
    }
    void get_remote_ip_and_port(std::string&, int&) const override {}
    void get_local_ip_and_port(std::string&, int&) const override {}
    int socket() const override { return fd_; }

  private:
    using Clock = std::chrono::steady_clock;
    static constexpr std::chrono::milliseconds limit{Control::request_ms_max};

    bool wait(short event) const {
        auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now()).count();
        pollfd poll_fd{fd_, event, 0};
        return left > 0 && ::poll(&poll_fd, 1, static_cast<int>(left)) == 1;
    }

    const int fd_;
    size_t left_bytes_ = Control::request_bytes_max;
    bool answering_ = false;
    Clock::time_point deadline_ = Clock::now() + limit;
};

// httplib parses requests and writes responses; it neither listens nor owns a thread here.
class Http : public httplib::Server {
  public:
    Http(Registry& registry, OfferedList offered) {
        set_pre_routing_handler([&registry, offered = std::move(offered)](
                                    const httplib::Request& request, httplib::Response& response) {
            give(answer_to(request.method, request.path, registry, offered), response);
            return HandlerResponse::Handled;
        });
        set_error_handler(Handler([](const httplib::Request&, httplib::Response& response) {
            if (response.body.empty())
                give(error_answer(response.status, "not a request that is understood"), response);
        }));
    }
    void serve(int fd) {
        PeerStream stream(fd);
        bool closed = false;
        process_request(stream, true, closed, nullptr);
    }

  private:
    static void give(Answer answer, httplib::Response& response) {
        response.status = answer.status;
        if (!answer.allow.empty()) response.set_header("Allow", answer.allow);
        response.set_content(std::move(answer.body), answer.content_type);
    }
};

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
                     OfferedList offered)
        : path_(std::move(path)),
          listener_(std::move(listener)),
          stop_(std::move(stop)),
          http_(registry, std::move(offered)),
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
                    ? http_.serve(peer.get())
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
    Http http_;
    std::thread thread_;
};

Result<std::unique_ptr<Control>> make(UniqueFd listener, const std::string& path, Registry& registry, OfferedList offered) {
    UniqueFd stop(::eventfd(0, EFD_CLOEXEC));
    if (stop.get() < 0)
        return fail(errno, "control socket {}: eventfd: {}", path, errno_text(errno));
    return std::make_unique<ListeningControl>(path, std::move(listener), std::move(stop), registry,
                                              std::move(offered));
}

}  // namespace

Result<std::unique_ptr<Control>> Control::start(const std::string& path, Registry& registry,
                                                OfferedList offered) {
    UniqueFd listener = TRY(listen_on(path));
    return make(std::move(listener), path, registry, std::move(offered));
}

Result<std::unique_ptr<Control>> Control::adopt(int fd, const std::string& path, Registry& registry, OfferedList offered) {
    return make(UniqueFd(fd), path, registry, std::move(offered));
}

}  // namespace hyper::watch
