// SPDX-License-Identifier: Apache-2.0
#include "providers/nbd/line.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>

namespace hyper::nbd {

using provider::failed;
using provider::Failure;
using provider::Outcome;

namespace {

constexpr int tick_ms = 200;
constexpr uint64_t status_bytes_max = uint64_t{2} << 30;  // fits the protocol's 32 bits
constexpr int64_t leave_limit_ns = 1'000'000'000;
constexpr int64_t connect_limit_ns = 10'000'000'000;

// A failure of one request, as NBD's errors tell it.
hyper_failure kind_of_errno(int code) {
    switch (code) {
        case EPERM:
        case EACCES: return HYPER_NOT_ALLOWED;
        case EINVAL: return HYPER_FATAL;
        case ESHUTDOWN:
        case EAGAIN:
        case ENOMEM:
        case EIO:
        case ENOTCONN: return HYPER_RETRY_LATER;
        default: return HYPER_FATAL;
    }
}

}  // namespace

int64_t now_ns() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// A read, or a question for extents.
struct Line::Request {
    Line* line;
    hyper_read* read = nullptr;
    std::string context{};
    Translate translate = nullptr;
    uint64_t offset = 0, length = 0;
    size_t room = 0;
    Status told{};
    std::vector<hyper_extent> extents{};
};

Line::Line(Server server, std::optional<Facts> expected)
    : server_(std::move(server)), facts_(std::move(expected)), wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      thread_([this] { run(); }) {}

Line::~Line() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    ::eventfd_write(wake_fd_, 1);
    thread_.join();
    ::close(wake_fd_);
}

Failure Line::last_failure(const char* what) const {
    const char* text = ::nbd_get_error();
    return {HYPER_RETRY_LATER, std::string(what) + ": " + (text == nullptr ? "unknown error" : text)};
}

// A server that was there comes back, perhaps. One that never was is a wrong name, unless it only refuses to answer now.
Failure Line::connect_failure() const {
    int code = ::nbd_get_errno();
    Failure failure = last_failure(("connect to " + server_.shown).c_str());
    if (code == EINVAL || code == ENOTSUP || ::nbd_aio_is_created(nbd_) == 1 || (code == ENOENT && !facts_)) failure.kind = HYPER_BAD_CONFIGURATION;
    if ((code == EACCES || code == EPERM) && !facts_) failure.kind = HYPER_NOT_ALLOWED;
    // A server of our own has said on standard error what it did not find.
    if (!server_.command.empty() && !facts_) failure.kind = HYPER_BAD_CONFIGURATION;
    return failure;
}

Outcome<Facts> Line::connected(const hyper_call& call) {
    for (;;) {
        {
            std::lock_guard lock(mutex_);
            if (first_connection_) return *first_connection_;
        }
        if (call.cancelled(&call) || now_ns() >= call.deadline_ns) return failed(HYPER_RETRY_LATER, "connect to " + server_.shown + ": too slow");
        ::poll(nullptr, 0, 2);
    }
}

void Line::read(hyper_read& read) {
    auto request = std::make_unique<Request>(Request{this});
    request->read = &read;
    request->offset = read.offset;
    request->length = read.length;
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(request));
    ::eventfd_write(wake_fd_, 1);
}

void Line::status(const std::string& context, Translate translate, uint64_t offset, uint64_t length, size_t room, Status told) {
    auto request = std::make_unique<Request>(Request{this});
    request->context = context;
    request->translate = translate;
    request->offset = offset;
    request->length = std::min(length, status_bytes_max);
    request->room = room;
    request->told = std::move(told);
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(request));
    ::eventfd_write(wake_fd_, 1);
}

void Line::end(Request& request, const Failure* failure) {
    auto at = std::find_if(under_way_.begin(), under_way_.end(), [&](const auto& own) { return own.get() == &request; });
    if (at == under_way_.end()) return;
    std::unique_ptr<Request> own = std::move(*at);
    under_way_.erase(at);
    if (own->read != nullptr) {
        if (failure == nullptr)
            provider::finish(*own->read);
        else
            provider::finish(*own->read, *failure);
        return;
    }
    if (failure != nullptr)
        own->told(tl::unexpected(*failure));
    else if (own->extents.empty())
        own->told(failed(HYPER_FATAL, "the server told nothing of " + own->context));
    else
        own->told(std::move(own->extents));
}

int Line::on_done(void* opaque, int* error) {
    auto* request = static_cast<Request*>(opaque);
    if (*error == 0) {
        request->line->end(*request, nullptr);
    } else {
        Failure failure{kind_of_errno(*error), std::string("the server answered: ") + ::strerror(*error)};
        request->line->end(*request, &failure);
    }
    return 1;  // retired
}

int Line::on_extents(void* opaque, const char* context, uint64_t, uint32_t* entries, size_t count, int*) {
    auto* request = static_cast<Request*>(opaque);
    if (request->context != context) return 0;
    uint64_t left = request->length;
    for (size_t i = 0; i + 1 < count && left > 0 && request->extents.size() < request->room; i += 2) {
        uint64_t run = std::min<uint64_t>(entries[i], left);
        if (run == 0) break;
        request->extents.push_back({run, request->translate(entries[i + 1])});
        left -= run;
    }
    return 0;
}

void Line::send(Request& request) {
    // libnbd calls what it was given exactly once, also while the handle is closed; on_done finds requests only while they are under way.
    nbd_completion_callback done{&Line::on_done, &request, nullptr};
    int64_t sent = request.read != nullptr
                       ? ::nbd_aio_pread(nbd_, request.read->buffer, request.read->length, request.offset, done, 0)
                       : ::nbd_aio_block_status(nbd_, request.length, request.offset, {&Line::on_extents, &request, nullptr}, done, 0);
    if (sent >= 0) return;
    Failure failure = last_failure("send");
    if (::nbd_aio_is_dead(nbd_) == 1 || ::nbd_aio_is_closed(nbd_) == 1) return;  // turn() will see
    failure.kind = HYPER_FATAL;
    end(request, &failure);
}

void Line::hang_up(const Failure& failure) {
    ::nbd_close(nbd_);  // nothing writes to the buffers after that
    nbd_ = nullptr;
    while (!under_way_.empty()) end(*under_way_.back(), &failure);
}

// Replies that are under way are waited for: some servers do not survive that a client goes before they are sent (nbdkit 1.32).
void Line::leave() {
    if (nbd_ == nullptr) return;
    int64_t limit = now_ns() + leave_limit_ns;
    bool alive = true;
    while (alive && !under_way_.empty() && now_ns() < limit) alive = turn(tick_ms);
    bool leaving = alive && under_way_.empty() && ::nbd_aio_disconnect(nbd_, 0) == 0;
    while (leaving && now_ns() < limit) leaving = (::nbd_aio_get_direction(nbd_) & LIBNBD_AIO_DIRECTION_WRITE) != 0 && turn(tick_ms);
}

// One look at what happens on the connection.
bool Line::turn(int timeout_ms) {
    unsigned direction = ::nbd_aio_get_direction(nbd_);
    std::array<pollfd, 2> polled{{{wake_fd_, POLLIN, 0}, {::nbd_aio_get_fd(nbd_), 0, 0}}};
    if (direction & LIBNBD_AIO_DIRECTION_READ) polled[1].events |= POLLIN;
    if (direction & LIBNBD_AIO_DIRECTION_WRITE) polled[1].events |= POLLOUT;
    if (::poll(polled.data(), polled.size(), timeout_ms) > 0) {
        eventfd_t ignored;
        if (polled[0].revents != 0) ::eventfd_read(wake_fd_, &ignored);
        if (polled[1].revents != 0) {
            bool reads = (polled[1].revents & ~POLLOUT) && (direction & LIBNBD_AIO_DIRECTION_READ);
            if ((reads ? ::nbd_aio_notify_read(nbd_) : ::nbd_aio_notify_write(nbd_)) != 0) return false;
        }
    }
    return ::nbd_aio_is_dead(nbd_) != 1 && ::nbd_aio_is_closed(nbd_) != 1;
}

bool Line::begin_connecting() {
    if (server_.command.empty()) return ::nbd_aio_connect_uri(nbd_, server_.uri.c_str()) == 0;
    std::vector<char*> words;
    for (const std::string& word : server_.command) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    return ::nbd_aio_connect_systemd_socket_activation(nbd_, words.data()) == 0;
}

Outcome<void> Line::connect() {
    nbd_ = ::nbd_create();
    if (nbd_ == nullptr) return tl::unexpected(last_failure("create a handle"));
    bool begun = ::nbd_add_meta_context(nbd_, LIBNBD_CONTEXT_BASE_ALLOCATION) == 0 && ::nbd_set_uri_allow_local_file(nbd_, true) == 0;
    for (const std::string& context : server_.contexts) begun = begun && ::nbd_add_meta_context(nbd_, context.c_str()) == 0;
    if (!begun || !begin_connecting()) return tl::unexpected(connect_failure());
    int64_t limit = now_ns() + connect_limit_ns;
    while (::nbd_aio_is_ready(nbd_) != 1) {
        if (!turn(tick_ms)) return tl::unexpected(connect_failure());
        if (now_ns() > limit) return failed(HYPER_RETRY_LATER, "connect: no answer within 10 s");
        std::lock_guard lock(mutex_);
        if (stopping_) return failed(HYPER_RETRY_LATER, "connect: stopped");
    }
    Facts facts;
    int64_t size = ::nbd_get_size(nbd_);
    if (size < 0) return failed(HYPER_FATAL, std::string("ask for the size: ") + ::nbd_get_error());
    facts.size_bytes = static_cast<uint64_t>(size);
    int64_t most = ::nbd_get_block_size(nbd_, LIBNBD_SIZE_MAXIMUM), least = ::nbd_get_block_size(nbd_, LIBNBD_SIZE_MINIMUM);
    if (most > 0) facts.request_bytes_max = std::min(facts.request_bytes_max, static_cast<uint64_t>(most));
    if (least > 0) facts.request_bytes_min = static_cast<uint64_t>(least);
    facts.multi_conn = ::nbd_can_multi_conn(nbd_) == 1;
    for (const std::string& context : server_.contexts)
        if (::nbd_can_meta_context(nbd_, context.c_str()) == 1) facts.contexts.push_back(context);
    if (::nbd_can_meta_context(nbd_, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1) facts.contexts.emplace_back(LIBNBD_CONTEXT_BASE_ALLOCATION);
    if (facts_ && facts_->size_bytes != facts.size_bytes)
        return failed(HYPER_SNAPSHOT_GONE, "the server came back with " + std::to_string(facts.size_bytes) + " bytes instead of " +
                                               std::to_string(facts_->size_bytes));
    facts_ = facts;
    return {};
}

void Line::run() {
    for (;;) {
        std::vector<std::unique_ptr<Request>> fresh;
        bool first;
        {
            std::lock_guard lock(mutex_);
            if (stopping_) break;
            fresh.swap(queue_);
            first = !first_connection_;
        }
        if (nbd_ == nullptr && !first && fresh.empty()) {
            pollfd wake{wake_fd_, POLLIN, 0};
            eventfd_t ignored;
            if (::poll(&wake, 1, tick_ms) > 0) ::eventfd_read(wake_fd_, &ignored);
            continue;
        }
        std::vector<Request*> to_send;
        for (auto& request : fresh) {
            to_send.push_back(request.get());
            under_way_.push_back(std::move(request));
        }
        if (nbd_ == nullptr) {
            auto made = connect();
            {
                std::lock_guard lock(mutex_);
                if (first) first_connection_ = made ? Outcome<Facts>(*facts_) : Outcome<Facts>(tl::unexpected(made.error()));
            }
            if (!made) {
                hang_up(made.error());
                continue;
            }
            was_connected_ = true;
        }
        for (Request* request : to_send) send(*request);
        if (!turn(tick_ms)) hang_up(last_failure("the connection broke"));
    }
    leave();
    Failure ended{HYPER_FATAL, "the snapshot was released"};
    {
        std::lock_guard lock(mutex_);
        for (auto& request : queue_) under_way_.push_back(std::move(request));
        queue_.clear();
    }
    hang_up(ended);
}

}  // namespace hyper::nbd
