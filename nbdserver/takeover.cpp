// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/takeover.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <span>

#include "blockengine/base/log.h"

namespace hyper::nbd {

namespace {

constexpr uint64_t version = 1;
constexpr uint32_t message_bytes_max = 1 << 20;

enum class Type : uint32_t { hello = 1, refused, socket, warm, end, go, yours, file, client, taken, last };
enum SocketKind : uint64_t { listens, offers, controls };

// Numbers are those of this machine: both processes run on it.
struct Head {
    uint32_t bytes;  // of what follows
    Type type;
};

struct Message {
    Type type;
    Bytes body{};
    UniqueFd fd{};
};

class Writer {
  public:
    explicit Writer(Bytes& out) : out_(out) {}
    Writer& number(uint64_t value) {
        auto* bytes = reinterpret_cast<const std::byte*>(&value);
        out_.insert(out_.end(), bytes, bytes + sizeof value);
        return *this;
    }
    Writer& bytes(std::span<const std::byte> value) {
        number(value.size());
        out_.insert(out_.end(), value.begin(), value.end());
        return *this;
    }
    Writer& text(std::string_view value) { return bytes(std::as_bytes(std::span(value))); }

  private:
    Bytes& out_;
};

class Reader {
  public:
    explicit Reader(const Bytes& in) : rest_(in) {}
    uint64_t number() {
        uint64_t value = 0;
        auto from = take(sizeof value);
        if (ok_) std::memcpy(&value, from.data(), sizeof value);
        return value;
    }
    std::span<const std::byte> bytes() { return take(number()); }
    std::string text() {
        auto from = bytes();
        return {reinterpret_cast<const char*>(from.data()), from.size()};
    }
    bool complete() const { return ok_ && rest_.empty(); }
    bool ok() const { return ok_; }

  private:
    std::span<const std::byte> take(uint64_t count) {
        if (count > rest_.size()) ok_ = false;
        if (!ok_) return {};
        auto taken = rest_.first(count);
        rest_ = rest_.subspan(count);
        return taken;
    }
    std::span<const std::byte> rest_;
    bool ok_ = true;
};

Result<void> send(int session, Type type, const Bytes& body = {}, int fd = -1) {
    Head head{static_cast<uint32_t>(body.size()), type};
    Bytes all(sizeof head);
    std::memcpy(all.data(), &head, sizeof head);
    all.insert(all.end(), body.begin(), body.end());
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> space{};
    size_t sent = 0;
    while (sent < all.size()) {
        iovec piece{all.data() + sent, all.size() - sent};
        msghdr message{};
        message.msg_iov = &piece;
        message.msg_iovlen = 1;
        if (sent == 0 && fd >= 0) {
            message.msg_control = space.data();
            message.msg_controllen = space.size();
            cmsghdr* control = CMSG_FIRSTHDR(&message);
            control->cmsg_level = SOL_SOCKET;
            control->cmsg_type = SCM_RIGHTS;
            control->cmsg_len = CMSG_LEN(sizeof fd);
            std::memcpy(CMSG_DATA(control), &fd, sizeof fd);
        }
        ssize_t count = ::sendmsg(session, &message, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return fail(errno, "takeover: tell the other server: {}", errno_text(errno));
        sent += static_cast<size_t>(count);
    }
    return {};
}

Result<void> receive_rest(int session, std::span<std::byte> into) {
    while (!into.empty()) {
        ssize_t count = ::recv(session, into.data(), into.size(), 0);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return fail(EPIPE, "takeover: the other server has gone");
        into = into.subspan(static_cast<size_t>(count));
    }
    return {};
}

Result<Message> receive(int session) {
    Head head{};
    iovec piece{&head, sizeof head};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> space{};
    msghdr got{};
    got.msg_iov = &piece;
    got.msg_iovlen = 1;
    got.msg_control = space.data();
    got.msg_controllen = space.size();
    ssize_t count;
    do {
        count = ::recvmsg(session, &got, MSG_CMSG_CLOEXEC);
    } while (count < 0 && errno == EINTR);
    Message message{};
    cmsghdr* control = count > 0 ? CMSG_FIRSTHDR(&got) : nullptr;
    if (control != nullptr && control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_RIGHTS) {
        int fd;
        std::memcpy(&fd, CMSG_DATA(control), sizeof fd);
        message.fd.reset(fd);
    }
    if (count <= 0) return fail(EPIPE, "takeover: the other server has gone");
    if ((got.msg_flags & MSG_CTRUNC) != 0) return fail(EMFILE, "takeover: no descriptor is left for what comes over");
    auto* bytes = reinterpret_cast<std::byte*>(&head);
    TRY(receive_rest(session, {bytes + count, sizeof head - static_cast<size_t>(count)}));
    if (head.bytes > message_bytes_max)
        return fail(EPROTO, "takeover: a message of {} bytes, and {} are allowed", head.bytes, message_bytes_max);
    message.type = head.type;
    message.body.resize(head.bytes);
    TRY(receive_rest(session, message.body));
    return message;
}

Result<Message> expect(int session, Type type) {
    auto message = TRY(receive(session));
    if (message.type == Type::refused) return fail(EPROTO, "takeover: refused: {}", Reader(message.body).text());
    if (message.type != type)
        return fail(EPROTO, "takeover: message {} came where {} was due", static_cast<uint32_t>(message.type),
                    static_cast<uint32_t>(type));
    return message;
}

Result<void> check_other(int session) {
    ucred other{};
    socklen_t length = sizeof other;
    if (::getsockopt(session, SOL_SOCKET, SO_PEERCRED, &other, &length) != 0)
        return fail(errno, "takeover: ask who the other server is: {}", errno_text(errno));
    if (other.uid != ::geteuid() && other.uid != 0)
        return fail(EPERM, "takeover: the other server runs as uid {}, and this one as uid {}", other.uid, ::geteuid());
    return {};
}

int milliseconds_until(std::chrono::steady_clock::time_point deadline) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    return static_cast<int>(std::max<long>(left, 0));
}

}  // namespace

// The old side.

Result<std::unique_ptr<TakeoverOffer>> TakeoverOffer::start(Listener listener, Server& server, CatalogDirectory& directory,
                                                            watch::Control* control, std::string control_path,
                                                            std::function<void()> ended) {
    UniqueFd stop(::eventfd(0, EFD_CLOEXEC));
    if (!stop) return fail(errno, "takeover: eventfd: {}", errno_text(errno));
    return std::unique_ptr<TakeoverOffer>(new TakeoverOffer(std::move(listener), std::move(stop), server, directory, control,
                                                            std::move(control_path), std::move(ended)));
}

TakeoverOffer::TakeoverOffer(Listener listener, UniqueFd stop, Server& server, CatalogDirectory& directory,
                             watch::Control* control, std::string control_path, std::function<void()> ended)
    : listener_(std::move(listener)),
      stop_(std::move(stop)),
      server_(server),
      directory_(directory),
      control_(control),
      control_path_(std::move(control_path)),
      ended_(std::move(ended)),
      thread_([this] { run(); }) {}

TakeoverOffer::~TakeoverOffer() {
    ::eventfd_write(stop_.get(), 1);
    thread_.join();
}

TakeoverOffer::Woken TakeoverOffer::wait_for(int fd, int timeout_ms, int session) const {
    std::array<pollfd, 3> fds{{{stop_.get(), POLLIN, 0}, {session, POLLIN, 0}, {fd, POLLIN, 0}}};
    int count;
    do {
        count = ::poll(fds.data(), fds.size(), timeout_ms);
    } while (count < 0 && errno == EINTR);
    if (fds[0].revents != 0) return Woken::stop;
    if (fds[1].revents != 0) return Woken::gone;
    return count > 0 ? Woken::ready : Woken::timeout;
}

void TakeoverOffer::run() {
    for (;;) {
        if (wait_for(listener_.fd(), -1) == Woken::stop) return;
        UniqueFd session(::accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!session) {
            if (wait_for(-1, 100) == Woken::stop) return;  // descriptors may come back
            continue;
        }
        auto done = hand_over(session.get());
        if (done) break;
        log_warning("{}; this server goes on", done.error().message);
    }
    listener_.leave_path();
    server_.when_empty(ended_);
}

Result<void> TakeoverOffer::hand_over(int session) {
    TRY(check_other(session));
    if (wait_for(session, answer_ms_max) != Woken::ready) return fail(ETIMEDOUT, "takeover: nothing was said");
    auto hello = TRY(expect(session, Type::hello));
    uint64_t asked = Reader(hello.body).number();
    Bytes body;
    if (asked != version) {
        Writer(body).text(fmt::format("this server knows version {} of the hand-over, not {}", version, asked));
        TRY(send(session, Type::refused, body));
        return fail(EPROTO, "takeover: version {} was asked for, and this server knows {}", asked, version);
    }
    TRY(offer(session));
    if (wait_for(session, ready_ms_max) != Woken::ready) return fail(ETIMEDOUT, "takeover: the new server was not ready");
    TRY(expect(session, Type::go));

    auto queue = std::make_shared<Queue>();
    queue->filled.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!queue->filled) return fail(errno, "takeover: eventfd: {}", errno_text(errno));
    server_.pause([queue](Resting client) {
        std::lock_guard lock(queue->mutex);
        queue->clients.push_back(std::move(client));
        ::eventfd_write(queue->filled.get(), 1);
    });
    auto moved = move_clients(session, *queue);
    if (moved) {
        server_.leave_listeners();
        if (control_ != nullptr) control_->leave();
    }
    server_.resume();
    if (!moved) return tl::unexpected(moved.error());
    log_info("{} clients went to the new server; this one ends when the others have left", *moved);
    return {};
}

Result<void> TakeoverOffer::offer(int session) {
    Bytes body;
    Writer(body).number(version);
    TRY(send(session, Type::hello, body));
    auto give = [&](SocketKind kind, const std::string& name, const std::string& path, int fd) {
        body.clear();
        Writer(body).number(kind).text(name).text(path);
        return send(session, Type::socket, body, fd);
    };
    TRY(give(offers, "", listener_.path(), listener_.fd()));
    if (control_ != nullptr) TRY(give(controls, "", control_path_, control_->fd()));
    for (const Listener* listener : server_.listeners())
        TRY(give(listens, listener->name(), listener->path(), listener->fd()));
    for (const std::string& name : server_.exports_read()) {
        body.clear();
        Writer(body).text(name);
        TRY(send(session, Type::warm, body));
    }
    return send(session, Type::end);
}

// Each as soon as it rests, until all have moved or the time is over.
Result<unsigned> TakeoverOffer::move_clients(int session, Queue& queue) {
    Files files;
    TRY(move_files(session, files));
    TRY(send(session, Type::yours));
    auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(rest_ms_max);
    unsigned moved = 0;
    while (server_.local_connections() > 0) {
        Woken woken = wait_for(queue.filled.get(), std::min(milliseconds_until(deadline), 20), session);
        if (woken == Woken::gone) return fail(EPIPE, "takeover: the new server has gone");
        if (woken == Woken::stop) return fail(ECANCELED, "takeover: this server was told to end");
        if (woken == Woken::timeout && milliseconds_until(deadline) == 0) break;
        uint64_t count;
        [[maybe_unused]] ssize_t got = ::read(queue.filled.get(), &count, sizeof count);
        for (;;) {
            std::unique_lock lock(queue.mutex);
            if (queue.clients.empty()) break;
            Resting client = std::move(queue.clients.front());
            queue.clients.pop_front();
            lock.unlock();
            TRY(move_files(session, files));
            TRY(move(session, client));
            ++moved;
        }
    }
    TRY(send(session, Type::last));
    return moved;
}

Result<void> TakeoverOffer::move_files(int session, Files& moved) {
    for (const auto& file : directory_.writable().all()) {
        if (std::ranges::find(moved, file) != moved.end()) continue;
        Bytes body;
        Writer(body).text(file->file()->path());
        TRY(send(session, Type::file, body, file->fd()));
        moved.push_back(file);
    }
    return {};
}

Result<void> TakeoverOffer::move(int session, const Resting& client) {
    const Session& state = client.session;
    Bytes body;
    Writer writer(body);
    writer.text(state.exported->name).number(state.exported->size_bytes());
    writer.number(static_cast<uint64_t>(state.mode)).number(state.exported->writable != nullptr);
    writer.bytes(client.unread).number(state.contexts.size());
    for (const ChosenContext& chosen : state.contexts) writer.number(chosen.id).text(chosen.context->name());
    TRY(send(session, Type::client, body, client.fd.get()));
    if (wait_for(session, answer_ms_max) != Woken::ready) {
        // What it says from now on does not get through; what it said before counts.
        ::shutdown(session, SHUT_RDWR);
    }
    TRY(expect(session, Type::taken));
    client.let_go();
    return {};
}

// The new side.

Result<std::unique_ptr<Takeover>> Takeover::ask(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path)
        return fail(ENAMETOOLONG, "takeover: {}: the path of a socket has 1 to {} bytes", path, sizeof address.sun_path - 1);
    path.copy(address.sun_path, path.size());
    UniqueFd session(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!session) return fail(errno, "takeover: make a Unix socket: {}", errno_text(errno));
    if (::connect(session.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        if (errno == ENOENT || errno == ECONNREFUSED) return nullptr;
        return fail(errno, "takeover: connect to {}: {}", path, errno_text(errno));
    }
    TRY(check_other(session.get()));
    Bytes body;
    Writer(body).number(version);
    TRY(send(session.get(), Type::hello, body));
    TRY(expect(session.get(), Type::hello));
    std::unique_ptr<Takeover> takeover(new Takeover(std::move(session)));
    for (;;) {
        Message message = TRY(nbd::receive(takeover->session_.get()));
        Reader reader(message.body);
        if (message.type == Type::end) return takeover;
        if (message.type == Type::warm) {
            takeover->warm_.push_back(reader.text());
        } else if (message.type == Type::socket && message.fd) {
            uint64_t kind = reader.number();
            std::string name = reader.text(), socket_path = reader.text();
            takeover->sockets_.push_back({kind, std::move(name), std::move(socket_path), std::move(message.fd)});
        } else {
            return fail(EPROTO, "takeover: message {} came where sockets were due", static_cast<uint32_t>(message.type));
        }
        if (!reader.complete()) return fail(EPROTO, "takeover: a message of the wrong length");
    }
}

std::vector<Listener> Takeover::take_if(const std::function<bool(const Socket&)>& wanted) {
    std::vector<Listener> taken;
    std::erase_if(sockets_, [&](Socket& socket) {
        if (socket.kind != listens || !wanted(socket)) return false;
        auto listener = Listener::adopt(std::move(socket.fd), socket.name);
        if (listener)
            taken.push_back(std::move(*listener));
        else
            log_warning("takeover: {}", listener.error().message);
        return true;
    });
    return taken;
}

std::vector<Listener> Takeover::take(const std::string& name, const std::string& path) {
    return take_if([&](const Socket& socket) { return socket.name == name && socket.path == path; });
}

std::vector<Listener> Takeover::take_inherited() {
    return take_if([](const Socket& socket) { return socket.path.empty() && socket.name.find(':') == std::string::npos; });
}

Result<Listener> Takeover::take_offer() {
    for (Socket& socket : sockets_)
        if (socket.kind == offers) return Listener::adopt(std::move(socket.fd), "");
    return fail(EPROTO, "takeover: the socket that offers did not come");
}

UniqueFd Takeover::take_control(const std::string& path) {
    for (Socket& socket : sockets_)
        if (socket.kind == controls && socket.path == path) return std::move(socket.fd);
    return {};
}

void Takeover::adopt_file(CatalogDirectory& directory, UniqueFd fd, const std::string& path) {
    auto adopted = directory.writable().adopt(std::move(fd), path);
    if (!adopted) log_warning("takeover: {}", adopted.error().message);
}

Result<void> Takeover::begin(CatalogDirectory& directory) {
    for (const std::string& name : warm_) [[maybe_unused]]
        auto opened = directory.open(name);
    TRY(send(session_.get(), Type::go));
    for (;;) {
        Message message = TRY(nbd::receive(session_.get()));
        if (message.type == Type::yours) break;
        if (message.type != Type::file || !message.fd)
            return fail(EPROTO, "takeover: message {} came where files were due", static_cast<uint32_t>(message.type));
        adopt_file(directory, std::move(message.fd), Reader(message.body).text());
    }
    // What this server's options do not ask for is listened at no more.
    for (Socket& socket : sockets_) {
        if (socket.kind != listens) continue;
        auto unwanted = Listener::adopt(std::move(socket.fd), "");
        if (unwanted) log_info("takeover: nobody listens any more at {}", unwanted->text());
        if (unwanted && !socket.path.empty() && !unwanted->own_path(socket.path))
            log_warning("takeover: {}: it leads elsewhere, and stays", socket.path);
    }
    return {};
}

Result<unsigned> Takeover::receive(Server& server, const std::shared_ptr<const Door>& door, CatalogDirectory& directory) {
    unsigned count = 0;
    for (;;) {
        auto message = nbd::receive(session_.get());
        if (!message) return tl::unexpected(message.error());
        if (message->type == Type::last) break;
        if (message->type == Type::file && message->fd) {
            adopt_file(directory, std::move(message->fd), Reader(message->body).text());
            continue;
        }
        if (message->type != Type::client || !message->fd)
            return fail(EPROTO, "takeover: message {} came where clients were due", static_cast<uint32_t>(message->type));
        Reader reader(message->body);
        std::string name = reader.text();
        uint64_t size_bytes = reader.number(), mode = reader.number();
        bool writable = reader.number() != 0;
        auto unread = reader.bytes();
        std::vector<std::pair<uint32_t, std::string>> contexts;
        for (uint64_t left = reader.number(); left > 0 && reader.ok(); --left) {
            auto id = static_cast<uint32_t>(reader.number());
            contexts.emplace_back(id, reader.text());
        }
        if (!reader.complete() || mode > static_cast<uint64_t>(Mode::extended))
            return fail(EPROTO, "takeover: a client's state does not make sense");

        Session session;
        session.mode = static_cast<Mode>(mode);
        auto peer = peer_of(message->fd.get());
        auto resumed = [&]() -> Result<void> {
            if (!peer) return tl::unexpected(peer.error());
            session.exported = TRY(door->directory_for(*peer)->open(name));
            if (session.exported->size_bytes() != size_bytes)
                return fail(ESTALE, "{}: it had {} bytes, and now has {}", name, size_bytes, session.exported->size_bytes());
            if (writable && !session.exported->writable) return fail(EACCES, "{}: it cannot be written any more", name);
            for (const auto& [id, context] : contexts) {
                const auto& offered = session.exported->contexts;
                auto at = std::ranges::find(offered, context, [](const auto& one) { return one->name(); });
                if (at == offered.end()) return fail(ENOENT, "{}: it has no context {} any more", name, context);
                session.contexts.push_back({id, *at});
            }
            return {};
        }();
        // Before the other server hears of it nothing is read; if it does not hear, the client is its own again.
        TRY(send(session_.get(), Type::taken));
        if (!resumed) {
            ::shutdown(message->fd.get(), SHUT_RDWR);
            log_warning("{}: closed in the takeover: {}", peer ? peer->address : "a client", resumed.error().message);
            continue;
        }
        server.adopt(std::move(message->fd), std::move(*peer), door, std::move(session), {unread.begin(), unread.end()});
        ++count;
    }
    return count;
}

}  // namespace hyper::nbd
