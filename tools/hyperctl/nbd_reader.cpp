// SPDX-License-Identifier: Apache-2.0
#include "tools/hyperctl/nbd_reader.h"

#include <libnbd.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "blockengine/base/bytes.h"
#include "tools/hyperctl/command.h"

namespace hyper::ctl {

namespace {

constexpr uint64_t read_bytes_max = 32 * MiB;   // what every server takes
constexpr uint64_t status_bytes_max = 2 * GiB;  // fits the protocol's 32 bits

// A read, or where the buffer is empty a question for extents. Lives on its caller's stack until it
// is done.
struct Request {
    uint64_t offset, length;
    std::span<std::byte> buffer;
    std::vector<uint32_t> extents;  // pairs of length and flags, as the protocol has them
    int error = 0;
    bool done = false;
};

// The connection. A thread of its own is the only one that touches libnbd's handle once it is
// connected; callers queue requests and sleep.
class Link {
  public:
    explicit Link(std::string uri) : uri_(std::move(uri)) {}
    ~Link();
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;

    Result<void> connect();
    uint64_t size_bytes() const { return size_bytes_; }
    uint64_t request_bytes_max() const { return request_bytes_max_; }
    bool tells_extents() const { return tells_extents_; }
    // Returns when the request is answered.
    Result<void> perform(Request& request);

  private:
    // What libnbd gets to know of a request.
    struct Sent {
        Link* link;
        Request* request;
    };
    static int on_done(void* sent, int* error);
    static int on_extents(void* sent, const char* context, uint64_t offset, uint32_t* entries,
                          size_t count, int* error);
    static void forget(void* sent) { delete static_cast<Sent*>(sent); }

    void run();
    void send(Request& request);
    void wait();
    // Closes the connection: what is in flight, and what comes yet, fails.
    void give_up(int error, std::string message);
    // Nothing, where it was finished before.
    void finish(Request& request, int error);
    Error last_error(const char* what) const;

    const std::string uri_;
    nbd_handle* nbd_ = nullptr;  // of the thread, once it runs; nullptr after give_up()
    int wake_fd_ = -1;
    uint64_t size_bytes_ = 0, request_bytes_max_ = read_bytes_max;
    bool tells_extents_ = false;
    std::vector<Request*> in_flight_;  // of the thread
    std::thread thread_;

    std::mutex mutex_;
    std::condition_variable answered_;
    std::vector<Request*> queue_;  // guarded by mutex_
    bool stopping_ = false;        // guarded by mutex_
    std::optional<Error> broken_;  // guarded by mutex_
};

Link::~Link() {
    if (thread_.joinable()) {
        {
            std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        ::eventfd_write(wake_fd_, 1);
        thread_.join();
    }
    ::nbd_close(nbd_);
    if (wake_fd_ >= 0) ::close(wake_fd_);
}

Error Link::last_error(const char* what) const {
    int code = ::nbd_get_errno();
    const char* text = ::nbd_get_error();
    return {code == 0 ? EIO : code,
            fmt::format("{}: {}: {}", uri_, what, text == nullptr ? "unknown error" : text)};
}

Result<void> Link::connect() {
    wake_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd_ < 0) return fail(errno, "{}: make an eventfd: {}", uri_, errno_text(errno));
    nbd_ = ::nbd_create();
    if (nbd_ == nullptr) return tl::unexpected(last_error("create a handle"));
    if (::nbd_add_meta_context(nbd_, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0 ||
        ::nbd_set_uri_allow_local_file(nbd_, true) != 0 ||
        ::nbd_connect_uri(nbd_, uri_.c_str()) != 0)
        return tl::unexpected(last_error("connect"));
    int64_t size = ::nbd_get_size(nbd_);
    if (size < 0) return tl::unexpected(last_error("ask for the size"));
    size_bytes_ = static_cast<uint64_t>(size);
    int64_t most = ::nbd_get_block_size(nbd_, LIBNBD_SIZE_MAXIMUM);
    if (most > 0) request_bytes_max_ = std::min(request_bytes_max_, static_cast<uint64_t>(most));
    tells_extents_ = ::nbd_can_meta_context(nbd_, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
    thread_ = std::thread([this] { run(); });
    return {};
}

Result<void> Link::perform(Request& request) {
    std::unique_lock lock(mutex_);
    queue_.push_back(&request);
    ::eventfd_write(wake_fd_, 1);
    answered_.wait(lock, [&] { return request.done; });
    if (request.error == 0) return {};
    if (broken_) return tl::unexpected(*broken_);
    return fail(request.error, "{}: {} {} bytes at offset {}: {}", uri_,
                request.buffer.empty() ? "ask for the extents of" : "read", request.length,
                request.offset, errno_text(request.error));
}

void Link::run() {
    for (;;) {
        std::vector<Request*> fresh;
        {
            std::lock_guard lock(mutex_);
            if (stopping_) return;
            fresh.swap(queue_);
        }
        for (Request* request : fresh) send(*request);
        wait();
        if (nbd_ != nullptr && interrupted()) give_up(EINTR, "interrupted");
    }
}

void Link::send(Request& request) {
    in_flight_.push_back(&request);
    if (nbd_ == nullptr) return finish(request, ENOTCONN);
    // libnbd frees what it was given also where it refuses a request.
    nbd_completion_callback done{on_done, new Sent{this, &request}, forget};
    int64_t sent =
        request.buffer.empty()
            ? ::nbd_aio_block_status(nbd_, request.length, request.offset,
                                     {on_extents, new Sent{this, &request}, forget}, done, 0)
            : ::nbd_aio_pread(nbd_, request.buffer.data(), request.length, request.offset, done, 0);
    if (sent >= 0) return;
    Error error = last_error("send");
    // Where the connection is dead libnbd may hold the request still.
    if (::nbd_aio_is_dead(nbd_) == 1) give_up(error.code, std::move(error.message));
    finish(request, error.code);
}

int Link::on_done(void* user_data, int* error) {
    auto* sent = static_cast<Sent*>(user_data);
    sent->link->finish(*sent->request, *error);
    return 1;  // the command is retired
}

int Link::on_extents(void* user_data, const char*, uint64_t, uint32_t* entries, size_t count,
                     int*) {
    auto* sent = static_cast<Sent*>(user_data);
    sent->request->extents.assign(entries, entries + count);
    return 0;
}

void Link::finish(Request& request, int error) {
    if (std::erase(in_flight_, &request) == 0) return;  // it is finished, and may be gone
    std::lock_guard lock(mutex_);
    request.error = error;
    request.done = true;  // from here on it may be gone
    answered_.notify_all();
}

void Link::give_up(int error, std::string message) {
    {
        std::lock_guard lock(mutex_);
        broken_ = Error{error, std::move(message)};
    }
    // Nothing writes to the callers' buffers after that.
    ::nbd_close(nbd_);
    nbd_ = nullptr;
    while (!in_flight_.empty()) finish(*in_flight_.back(), error);
}

void Link::wait() {
    constexpr int look_for_signals_ms = 200;
    unsigned direction = nbd_ == nullptr ? 0 : ::nbd_aio_get_direction(nbd_);
    bool reads = direction & LIBNBD_AIO_DIRECTION_READ,
         writes = direction & LIBNBD_AIO_DIRECTION_WRITE;
    std::array<pollfd, 2> polled{
        {{wake_fd_, POLLIN, 0}, {nbd_ == nullptr ? -1 : ::nbd_aio_get_fd(nbd_), 0, 0}}};
    if (reads) polled[1].events |= POLLIN;
    if (writes) polled[1].events |= POLLOUT;
    if (::poll(polled.data(), polled.size(), look_for_signals_ms) <= 0) return;
    eventfd_t ignored;
    if (polled[0].revents != 0) ::eventfd_read(wake_fd_, &ignored);
    if (polled[1].revents == 0) return;
    bool can_read = reads && (polled[1].revents & ~POLLOUT);
    int status = can_read ? ::nbd_aio_notify_read(nbd_) : ::nbd_aio_notify_write(nbd_);
    if (status != 0 || ::nbd_aio_is_dead(nbd_) == 1 || ::nbd_aio_is_closed(nbd_) == 1) {
        Error error = last_error("send or receive");
        give_up(error.code, std::move(error.message));
    }
}

class Disk : public NbdDisk, public std::enable_shared_from_this<Disk> {
  public:
    explicit Disk(const std::string& uri) : uri_(uri), link_(uri) {}
    Result<void> connect() { return link_.connect(); }

    uint64_t size_bytes() const override { return link_.size_bytes(); }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override;
    Result<void> produce(uint64_t offset, std::span<std::byte> out) const override;

  private:
    Result<void> learn(uint64_t offset, uint64_t length) const;

    const std::string uri_;
    mutable Link link_;
    mutable std::mutex mutex_;
    // The last answer, of which a list of pieces may take only a part at a time. Guarded by mutex_;
    // ascending without gaps.
    mutable std::vector<Extent> known_;
};

// Fills known_ from the offset on.
Result<void> Disk::learn(uint64_t offset, uint64_t length) const {
    Request request{offset, std::min(length, status_bytes_max), {}, {}};
    TRY(link_.perform(request));
    known_.clear();
    uint64_t at = offset;
    for (size_t i = 0; i + 1 < request.extents.size() && at < size_bytes(); i += 2) {
        uint64_t run = std::min<uint64_t>(request.extents[i], size_bytes() - at);
        if (run == 0) break;
        known_.push_back({at, run, (request.extents[i + 1] & LIBNBD_STATE_ZERO) != 0});
        at += run;
    }
    if (known_.empty())
        return fail(EIO, "{}: ask for the extents of {} bytes at offset {}: the server names none",
                    uri_, request.length, offset);
    return {};
}

Result<void> Disk::map(uint64_t offset, uint64_t length, PieceList& out) const {
    uint64_t end = offset + length;
    if (!link_.tells_extents()) {
        out.computed(shared_from_this(), offset, length);
        return {};
    }
    std::lock_guard lock(mutex_);
    while (offset < end && !out.full()) {
        if (known_.empty() || offset < known_.front().offset ||
            offset >= known_.back().offset + known_.back().length)
            TRY(learn(offset, end - offset));
        auto extent = std::upper_bound(known_.begin(), known_.end(), offset,
                                       [](uint64_t at, const Extent& e) { return at < e.offset; }) -
                      1;
        uint64_t run = std::min(extent->offset + extent->length, end) - offset;
        if (extent->zero)
            out.zeros(run);
        else
            out.computed(shared_from_this(), offset, run);
        offset += run;
    }
    return {};
}

Result<void> Disk::produce(uint64_t offset, std::span<std::byte> out) const {
    while (!out.empty()) {
        auto part = out.first(std::min(out.size(), link_.request_bytes_max()));
        Request request{offset, part.size(), part, {}};
        TRY(link_.perform(request));
        offset += part.size();
        out = out.subspan(part.size());
    }
    return {};
}

}  // namespace

bool is_nbd_uri(std::string_view name) {
    std::string_view scheme = name.substr(0, std::min(name.find("://"), name.size()));
    return scheme.size() < name.size() &&
           (scheme == "nbd" || scheme == "nbds" || scheme.starts_with("nbd+") ||
            scheme.starts_with("nbds+"));
}

Result<std::shared_ptr<const NbdDisk>> NbdDisk::open(const std::string& uri) {
    auto disk = std::make_shared<Disk>(uri);
    TRY(disk->connect());
    return disk;
}

}  // namespace hyper::ctl
