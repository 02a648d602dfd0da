// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/locks/listen.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <optional>

// The kernel's header of vsock wants sockaddr's definition above it.
#include <linux/vm_sockets.h>

#include "nbdserver/locks/socket_address.h"

namespace hyper {

namespace {

constexpr int stream = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;

template <class T>
std::optional<T> number(std::string_view text) {
    T value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc() || end != text.data() + text.size())
        return std::nullopt;
    return value;
}

// --- Unix

// Where two servers start for one path, each looks, replaces and listens alone: the folder is
// locked for that moment.
Result<UniqueFd> lock_folder_of(const std::string& path) {
    size_t slash = path.rfind('/');
    std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    UniqueFd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return fail(errno, "{}: open the folder of the socket: {}", folder, errno_text(errno));
    // Whoever may read the folder can hold the lock, so this does not wait for ever: 2 seconds.
    for (int attempt = 0; flock(fd.get(), LOCK_EX | LOCK_NB) != 0; ++attempt) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return fail(errno, "{}: lock the folder of the socket: {}", folder, errno_text(errno));
        if (attempt == 200)
            return fail(EAGAIN, "{}: another process keeps the folder locked", folder);
        timespec pause{0, 10'000'000};
        nanosleep(&pause, nullptr);
    }
    return fd;
}

// Removes the socket at the address, provided that nobody listens at it.
Result<void> remove_stale(const sockaddr_un& address) {
    const char* path = address.sun_path;
    struct stat found;
    if (lstat(path, &found) != 0) return fail(errno, "{}: look at it: {}", path, errno_text(errno));
    if (!S_ISSOCK(found.st_mode))
        return fail(EEXIST, "{}: there is something else than a socket, which is not replaced",
                    path);
    UniqueFd probe(socket(AF_UNIX, stream, 0));
    if (!probe) return fail(errno, "make a Unix socket: {}", errno_text(errno));
    if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
        errno == EAGAIN)
        return fail(EADDRINUSE, "{}: another server listens here", path);
    // EPROTOTYPE is a socket of another type, which somebody has open.
    if (errno != ECONNREFUSED)
        return fail(errno, "{}: try whether a server listens here: {}", path, errno_text(errno));
    if (unlink(path) != 0)
        return fail(errno, "{}: remove what a dead server left: {}", path, errno_text(errno));
    return {};
}

// --- TCP and vsock

Result<UniqueFd> bound_and_listening(const sockaddr* address, socklen_t length,
                                     std::string_view where) {
    UniqueFd fd(socket(address->sa_family, stream, 0));
    if (!fd) return fail(errno, "listen at {}: make a socket: {}", where, errno_text(errno));
    int one = 1;
    if (address->sa_family != AF_VSOCK) {
        // Without SO_REUSEADDR a restart would wait for old connections to be forgotten.
        bool set = setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
                   setsockopt(fd.get(), SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one) == 0 &&
                   setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0;
        // IPv4 has a socket of its own.
        if (set && address->sa_family == AF_INET6)
            set = setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) == 0;
        if (!set)
            return fail(errno, "listen at {}: set up the socket: {}", where, errno_text(errno));
    }
    if (bind(fd.get(), address, length) != 0 || listen(fd.get(), backlog) != 0)
        return fail(errno, "listen at {}: {}", where, errno_text(errno));
    return fd;
}

Result<std::vector<Listener>> listen_vsock(std::string_view where) {
    std::string_view rest = where.substr(std::strlen("vsock:"));
    sockaddr_vm address{};
    address.svm_family = AF_VSOCK;
    address.svm_cid = VMADDR_CID_ANY;
    if (size_t colon = rest.find(':'); colon != std::string_view::npos) {
        auto cid = number<uint32_t>(rest.substr(0, colon));
        if (!cid) return fail(EINVAL, "listen at {}: the CID is no number (vsock:CID:PORT)", where);
        address.svm_cid = *cid;
        rest.remove_prefix(colon + 1);
    }
    auto port = number<uint32_t>(rest);
    if (!port) return fail(EINVAL, "listen at {}: the port is no number (vsock:PORT)", where);
    address.svm_port = *port;
    UniqueFd fd =
        TRY(bound_and_listening(reinterpret_cast<sockaddr*>(&address), sizeof address, where));
    std::vector<Listener> listeners;
    listeners.push_back(TRY(Listener::adopt(std::move(fd), std::string(where))));
    return listeners;
}

// --- What a service manager gave

constexpr int first_inherited_fd = 3;
// More than any unit's sockets and stored connections; a bound for a number that comes from
// outside.
constexpr int inherited_max = 65536;

bool listens(int fd) {
    int accepting = 0;
    socklen_t length = sizeof accepting;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepting, &length) == 0 && accepting != 0;
}

std::optional<std::string> take_variable(const char* name) {
    const char* value = getenv(name);
    if (value == nullptr) return std::nullopt;
    std::string copy = value;
    unsetenv(name);
    return copy;
}

std::vector<std::string> split_names(const std::string& names) {
    std::vector<std::string> parts;
    for (size_t at = 0, colon; at <= names.size(); at = colon + 1) {
        colon = std::min(names.find(':', at), names.size());
        parts.push_back(names.substr(at, colon - at));
    }
    return parts;
}

}  // namespace

Result<Listener> Listener::adopt(UniqueFd fd, std::string name) {
    int type = 0;
    socklen_t length = sizeof type;
    if (getsockopt(fd.get(), SOL_SOCKET, SO_TYPE, &type, &length) != 0)
        return fail(EINVAL, "descriptor {} is no socket: {}", fd.get(), errno_text(errno));
    if (type != SOCK_STREAM)
        return fail(EINVAL, "descriptor {} is a socket of type {}, not a stream", fd.get(), type);
    if (!listens(fd.get()))
        return fail(EINVAL, "descriptor {} is a socket that does not listen", fd.get());
    sockaddr_storage address{};
    length = sizeof address;
    if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0)
        return fail(errno, "descriptor {}: read its address: {}", fd.get(), errno_text(errno));
    switch (address.ss_family) {
        case AF_UNIX:
        case AF_INET:
        case AF_INET6:
        case AF_VSOCK:
            break;
        default:
            return fail(EINVAL, "descriptor {} is of address family {}, which is not served",
                        fd.get(), address.ss_family);
    }
    int flags = fcntl(fd.get(), F_GETFL);
    if (flags < 0 || fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0 ||
        fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0)
        return fail(errno, "descriptor {}: make it non-blocking: {}", fd.get(), errno_text(errno));
    Listener listener(std::move(fd));
    listener.text_ = address_text(address, length);
    listener.name_ = std::move(name);
    listener.remote_ = address.ss_family != AF_UNIX;
    return listener;
}

Listener::~Listener() {
    // A moved-from listener has no descriptor, and removes nothing.
    struct stat found;
    if (fd_ && !path_.empty() && lstat(path_.c_str(), &found) == 0 && S_ISSOCK(found.st_mode) &&
        found.st_dev == device_ && found.st_ino == inode_)
        unlink(path_.c_str());
}

Result<void> Listener::own_path(const std::string& path) {
    struct stat found;
    if (lstat(path.c_str(), &found) != 0)
        return fail(errno, "{}: look at the socket: {}", path, errno_text(errno));
    if (remote_ || !S_ISSOCK(found.st_mode) || text_ != "unix " + path)
        return fail(EINVAL, "{}: it does not lead to the socket {}", path, text_);
    path_ = path;
    device_ = found.st_dev;
    inode_ = found.st_ino;
    return {};
}

Result<Listener> listen_unix(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.find('\0') != std::string::npos)
        return fail(EINVAL, "the path of a socket is empty");
    if (path.size() >= sizeof address.sun_path)
        return fail(ENAMETOOLONG, "{}: the path has {} bytes, and a Unix socket's has {} at most",
                    path, path.size(), sizeof address.sun_path - 1);
    path.copy(address.sun_path, path.size());
    UniqueFd locked = TRY(lock_folder_of(path));

    UniqueFd fd(socket(AF_UNIX, stream, 0));
    if (!fd) return fail(errno, "make a Unix socket: {}", errno_text(errno));
    // Linux gives the path the mode of the unbound socket (less the umask), so there is no moment
    // with another.
    if (fchmod(fd.get(), 0600) != 0)
        return fail(errno, "{}: set its mode: {}", path, errno_text(errno));
    auto* name = reinterpret_cast<const sockaddr*>(&address);
    if (bind(fd.get(), name, sizeof address) != 0) {
        if (errno != EADDRINUSE) return fail(errno, "listen at {}: {}", path, errno_text(errno));
        TRY(remove_stale(address));
        if (bind(fd.get(), name, sizeof address) != 0)
            return fail(errno, "listen at {}: {}", path, errno_text(errno));
    }
    struct stat made;
    bool seen = lstat(path.c_str(), &made) == 0;
    if (!seen || listen(fd.get(), backlog) != 0) {
        int code = errno;
        unlink(path.c_str());
        return fail(code, "listen at {}: {}", path, errno_text(code));
    }
    Listener listener(std::move(fd));
    listener.text_ = "unix " + path;
    listener.remote_ = false;
    listener.path_ = path;
    listener.device_ = made.st_dev;
    listener.inode_ = made.st_ino;
    return listener;
}

Result<std::vector<Listener>> listen_network(std::string_view where) {
    if (where.starts_with("vsock:")) return listen_vsock(where);
    size_t colon = where.rfind(':');
    if (colon == std::string_view::npos || colon == 0)
        return fail(
            EINVAL,
            "listen at {}: this is no HOST:PORT (all addresses are 0.0.0.0:PORT and [::]:PORT)",
            where);
    std::string_view host = where.substr(0, colon);
    auto port = number<uint16_t>(where.substr(colon + 1));
    if (!port) return fail(EINVAL, "listen at {}: the port is no number up to 65535", where);
    if (host.front() == '[' && host.back() == ']')
        host = host.substr(1, host.size() - 2);
    else if (host.find(':') != std::string_view::npos)
        return fail(EINVAL, "listen at {}: an IPv6 address stands in brackets, [ADDRESS]:PORT",
                    where);
    if (host.empty()) return fail(EINVAL, "listen at {}: there is no host", where);

    addrinfo hints{};
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    int code =
        getaddrinfo(std::string(host).c_str(), std::to_string(*port).c_str(), &hints, &found);
    if (code != 0)
        return fail(code == EAI_SYSTEM ? errno : ENOENT, "listen at {}: look up {}: {}", where,
                    host, gai_strerror(code));
    std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(found, freeaddrinfo);

    std::vector<Listener> listeners;
    for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
        if (at->ai_family != AF_INET && at->ai_family != AF_INET6) continue;
        UniqueFd fd = TRY(bound_and_listening(at->ai_addr, at->ai_addrlen, where));
        listeners.push_back(TRY(Listener::adopt(std::move(fd), std::string(where))));
    }
    if (listeners.empty()) return fail(ENOENT, "listen at {}: {} has no address", where, host);
    return listeners;
}

Result<Inherited> take_inherited() {
    auto pid = take_variable("LISTEN_PID"), count_text = take_variable("LISTEN_FDS");
    auto names_text = take_variable("LISTEN_FDNAMES");
    Inherited inherited;
    if (!pid || !count_text || number<pid_t>(*pid) != getpid()) return inherited;
    auto count = number<int>(*count_text);
    if (!count || *count < 0 || *count > inherited_max)
        return fail(EINVAL, "LISTEN_FDS is \"{}\", which is no number up to {}", *count_text,
                    inherited_max);

    // What is not there must not be taken: a descriptor opened later could have its number.
    std::vector<UniqueFd> fds;
    for (int fd = first_inherited_fd; fd < first_inherited_fd + *count; ++fd) {
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
            return fail(EINVAL, "LISTEN_FDS is {}, but descriptor {} is not open", *count, fd);
        fds.emplace_back(fd);
    }
    std::vector<std::string> names(fds.size());
    if (names_text) {
        names = split_names(*names_text);
        if (names.size() != fds.size() && !fds.empty())
            return fail(EINVAL, "LISTEN_FDNAMES has {} names for {} descriptors", names.size(),
                        fds.size());
    }
    for (size_t i = 0; i < fds.size(); ++i) {
        if (listens(fds[i].get()))
            inherited.listeners.push_back(TRY(Listener::adopt(std::move(fds[i]), names[i])));
        else
            inherited.stored.push_back({names[i], std::move(fds[i])});
    }
    return inherited;
}

}  // namespace hyper
