// SPDX-License-Identifier: Apache-2.0
#include "tools/hyperctl/replay.h"

#include <libnbd.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "blockengine/base/bytes.h"
#include "nbdserver/watch/trace_format.h"
#include "tools/hyperctl/command.h"

namespace hyper::ctl {

namespace {

using watch::TracedRequest;
using Clock = std::chrono::steady_clock;

constexpr size_t trace_requests_max = 16 << 20;  // they are kept in memory: 56 bytes each
constexpr unsigned connections_by_default_max = 16;
constexpr size_t in_flight_max = 64;
constexpr uint64_t in_flight_bytes_max = 64 * MiB;
constexpr uint64_t buffer_bytes_max = 64 * MiB;  // libnbd's own limit for one read or write

uint64_t ns_between(Clock::time_point from, Clock::time_point to) {
    return static_cast<uint64_t>(std::max<int64_t>((to - from) / std::chrono::nanoseconds(1), 0));
}

bool writes(watch::Command command) {
    return command == watch::Command::write || command == watch::Command::trim ||
           command == watch::Command::write_zeroes;
}
bool has_buffer(watch::Command command) {
    return command == watch::Command::read || command == watch::Command::write;
}

// The requests to be sent, in the order of their start.
struct Plan {
    std::vector<TracedRequest> requests;
    uint64_t skipped = 0, left_out = 0, end_bytes = 0, writing = 0;
    size_t clients = 0;
};

Result<Plan> make_plan(const ReplayOptions& options) {
    auto reader = TRY(watch::TraceReader::open(options.trace));
    Plan plan;
    std::optional<std::string> chosen = options.export_name;
    std::map<uint64_t, uint64_t>
        clients;  // to their place among all, which takes their number's part
    while (auto entry = TRY(reader.next())) {
        TracedRequest& request = entry->request;
        if (!chosen) chosen = entry->export_name;
        if (entry->export_name != *chosen) {
            if (options.export_name) continue;
            return fail(EINVAL,
                        "trace {}: has requests on \"{}\", on \"{}\" and maybe more; choose one "
                        "with --export",
                        options.trace, *chosen, entry->export_name);
        }
        std::optional<uint64_t> end = checked_add(request.offset, request.length);
        if (request.error != 0 || !end) {
            ++plan.skipped;
            continue;
        }
        if (plan.requests.size() == trace_requests_max)
            return fail(EINVAL, "trace {}: has more than {} requests; replay a part of it",
                        options.trace, trace_requests_max);
        if (request.command != watch::Command::flush)
            plan.end_bytes = std::max(plan.end_bytes, *end);
        plan.writing += writes(request.command);
        request.client_id = clients.try_emplace(request.client_id, clients.size()).first->second;
        plan.requests.push_back(request);
    }
    if (plan.requests.empty())
        return fail(EINVAL, "trace {}: has no requests to replay", options.trace);
    if (plan.writing > 0 && !options.writable)
        return fail(EPERM,
                    "trace {}: {} of its requests write; --rw replays it, which overwrites what is "
                    "on the disk",
                    options.trace, plan.writing);
    std::stable_sort(
        plan.requests.begin(), plan.requests.end(),
        [](const TracedRequest& a, const TracedRequest& b) { return a.start_ns < b.start_ns; });
    plan.left_out = reader.left_out();
    plan.clients = clients.size();
    return plan;
}

// One connection and what is sent over it. Bound to one thread after connect().
class Connection {
  public:
    explicit Connection(const ReplayOptions& options) : options_(options) {}
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    // libnbd calls the completions of what is still in flight while it closes.
    ~Connection() { ::nbd_close(nbd_); }

    Result<void> connect();
    Result<uint64_t> size_bytes() const;
    // Whether the server has the command, and allows it.
    bool can(watch::Command command) const;
    void add(const TracedRequest& request) { requests_.push_back(&request); }

    // Sends all, and returns when all are answered. Errors: a connection that breaks; EINTR.
    Result<void> run(Clock::time_point begin, uint64_t first_start_ns);

    const watch::Statistics& statistics() const { return statistics_; }
    Clock::time_point end() const { return end_; }

  private:
    struct Slot {
        Connection* owner = nullptr;
        const TracedRequest* request = nullptr;
        Clock::time_point sent;
        std::unique_ptr<char[]> buffer;
    };

    static int on_done(void* slot, int* error);
    static int ignore_extents(void*, const char*, uint64_t, uint32_t*, size_t, int*) { return 0; }
    bool has_room(const TracedRequest& request) const;
    void send(const TracedRequest& request);
    int64_t submit(const TracedRequest& request, char* buffer, nbd_completion_callback done);
    void finish(Slot& slot, bool failed);
    // Waits for the socket, until `due` at most, and lets libnbd go on.
    Result<void> wait(std::optional<Clock::time_point> due);
    Result<void> failed(const char* what) const;

    const ReplayOptions& options_;
    nbd_handle* nbd_ = nullptr;
    bool can_fua_ = false;
    std::vector<const TracedRequest*> requests_;
    std::array<Slot, in_flight_max> slots_;
    std::vector<Slot*> free_slots_;
    uint64_t in_flight_bytes_ = 0;
    watch::Statistics statistics_;
    Clock::time_point end_;
};

Result<void> Connection::failed(const char* what) const {
    int code = ::nbd_get_errno();
    const char* text = ::nbd_get_error();
    return fail(code == 0 ? EIO : code, "{}: {}: {}", options_.uri, what,
                text == nullptr ? "unknown error" : text);
}

Result<void> Connection::connect() {
    nbd_ = ::nbd_create();
    if (nbd_ == nullptr) return failed("create a handle");
    if (::nbd_add_meta_context(nbd_, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0 ||
        ::nbd_set_uri_allow_local_file(nbd_, true) != 0 ||
        ::nbd_connect_uri(nbd_, options_.uri.c_str()) != 0)
        return failed("connect");
    can_fua_ = ::nbd_can_fua(nbd_) == 1;
    for (Slot& slot : slots_) {
        slot.owner = this;
        free_slots_.push_back(&slot);
    }
    return {};
}

Result<uint64_t> Connection::size_bytes() const {
    int64_t size = ::nbd_get_size(nbd_);
    if (size < 0) return tl::unexpected(failed("ask for the size").error());
    return static_cast<uint64_t>(size);
}

bool Connection::can(watch::Command command) const {
    switch (command) {
        case watch::Command::read:
            return true;
        case watch::Command::write:
            return ::nbd_is_read_only(nbd_) == 0;
        case watch::Command::trim:
            return ::nbd_is_read_only(nbd_) == 0 && ::nbd_can_trim(nbd_) == 1;
        case watch::Command::write_zeroes:
            return ::nbd_is_read_only(nbd_) == 0 && ::nbd_can_zero(nbd_) == 1;
        case watch::Command::flush:
            return ::nbd_can_flush(nbd_) == 1;
        case watch::Command::cache:
            return ::nbd_can_cache(nbd_) == 1;
        case watch::Command::block_status:
            return ::nbd_can_meta_context(nbd_, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
    }
    return false;
}

bool Connection::has_room(const TracedRequest& request) const {
    if (free_slots_.empty()) return false;
    return !has_buffer(request.command) || in_flight_bytes_ == 0 ||
           in_flight_bytes_ + request.length <= in_flight_bytes_max;
}

void Connection::send(const TracedRequest& request) {
    Slot& slot = *free_slots_.back();
    free_slots_.pop_back();
    slot.request = &request;
    if (has_buffer(request.command)) {
        in_flight_bytes_ += request.length;
        if (request.length <= buffer_bytes_max) slot.buffer.reset(new char[request.length]);
        if (request.command == watch::Command::write && slot.buffer)
            std::fill_n(slot.buffer.get(), request.length, 'R');
    }
    slot.sent = Clock::now();
    // Where libnbd refuses a request it does not call on_done.
    bool sent = (!has_buffer(request.command) || slot.buffer) &&
                submit(request, slot.buffer.get(), {on_done, &slot, nullptr}) >= 0;
    if (!sent) finish(slot, true);
}

int64_t Connection::submit(const TracedRequest& r, char* buffer, nbd_completion_callback done) {
    uint32_t fua = can_fua_ ? r.flags & LIBNBD_CMD_FLAG_FUA : 0;
    switch (r.command) {
        case watch::Command::read:
            return ::nbd_aio_pread(nbd_, buffer, r.length, r.offset, done, 0);
        case watch::Command::write:
            return ::nbd_aio_pwrite(nbd_, buffer, r.length, r.offset, done, fua);
        case watch::Command::trim:
            return ::nbd_aio_trim(nbd_, r.length, r.offset, done, fua);
        case watch::Command::write_zeroes:
            return ::nbd_aio_zero(nbd_, r.length, r.offset, done,
                                  fua | (r.flags & LIBNBD_CMD_FLAG_NO_HOLE));
        case watch::Command::flush:
            return ::nbd_aio_flush(nbd_, done, 0);
        case watch::Command::cache:
            return ::nbd_aio_cache(nbd_, r.length, r.offset, done, 0);
        case watch::Command::block_status:
            return ::nbd_aio_block_status(nbd_, r.length, r.offset,
                                          {ignore_extents, nullptr, nullptr}, done,
                                          r.flags & LIBNBD_CMD_FLAG_REQ_ONE);
    }
    return -1;
}

int Connection::on_done(void* user_data, int* error) {
    Slot& slot = *static_cast<Slot*>(user_data);
    slot.owner->finish(slot, *error != 0);
    return 1;  // the command is retired
}

void Connection::finish(Slot& slot, bool failed) {
    const TracedRequest& request = *slot.request;
    statistics_.commands[static_cast<size_t>(request.command)].count(
        request.length, ns_between(slot.sent, Clock::now()), failed);
    if (has_buffer(request.command)) in_flight_bytes_ -= request.length;
    slot.buffer.reset();
    free_slots_.push_back(&slot);
}

Result<void> Connection::wait(std::optional<Clock::time_point> due) {
    constexpr auto look_for_signals = std::chrono::milliseconds(200);
    std::chrono::nanoseconds most = look_for_signals;
    if (due)
        most = std::clamp<std::chrono::nanoseconds>(*due - Clock::now(),
                                                    std::chrono::nanoseconds(0), most);
    timespec timeout{0, static_cast<long>(most.count())};
    unsigned direction = ::nbd_aio_get_direction(nbd_);
    pollfd socket{::nbd_aio_get_fd(nbd_), 0, 0};
    if (direction & LIBNBD_AIO_DIRECTION_READ) socket.events |= POLLIN;
    if (direction & LIBNBD_AIO_DIRECTION_WRITE) socket.events |= POLLOUT;
    int ready = ::ppoll(&socket, 1, &timeout, nullptr);
    if (ready < 0 && errno != EINTR)
        return fail(errno, "{}: wait: {}", options_.uri, errno_text(errno));
    if (ready <= 0) return {};
    bool can_read =
        (direction & LIBNBD_AIO_DIRECTION_READ) && (socket.revents & (POLLIN | POLLHUP | POLLERR));
    int status = can_read ? ::nbd_aio_notify_read(nbd_) : ::nbd_aio_notify_write(nbd_);
    if (status != 0 || ::nbd_aio_is_dead(nbd_) == 1) return failed("send or receive");
    return {};
}

Result<void> Connection::run(Clock::time_point begin, uint64_t first_start_ns) {
    auto due = [&](const TracedRequest& request) {
        return options_.at_full_speed
                   ? begin
                   : begin + std::chrono::nanoseconds(request.start_ns - first_start_ns);
    };
    for (size_t next = 0; next < requests_.size() || free_slots_.size() < slots_.size();) {
        if (interrupted()) return fail(EINTR, "interrupted");
        bool room = next < requests_.size() && has_room(*requests_[next]);
        if (room && due(*requests_[next]) <= Clock::now())
            send(*requests_[next++]);
        else
            TRY(wait(room ? std::optional(due(*requests_[next])) : std::nullopt));
    }
    end_ = Clock::now();
    return {};
}

}  // namespace

Result<Replayed> replay_trace(const ReplayOptions& options) {
    Plan plan = TRY(make_plan(options));
    Replayed result;
    result.left_out = plan.left_out;
    result.skipped = plan.skipped;
    result.connections =
        options.connections != 0
            ? options.connections
            : static_cast<unsigned>(std::min<size_t>(plan.clients, connections_by_default_max));
    std::vector<std::unique_ptr<Connection>> connections;
    for (unsigned i = 0; i < result.connections; ++i) {
        connections.push_back(std::make_unique<Connection>(options));
        TRY(connections.back()->connect());
    }
    uint64_t size_bytes = TRY(connections[0]->size_bytes());
    if (plan.end_bytes > size_bytes)
        return fail(EINVAL, "trace {}: reaches to {} bytes, and {} has only {}", options.trace,
                    plan.end_bytes, options.uri, size_bytes);

    uint64_t first_ns = UINT64_MAX, end_ns = 0;
    for (const TracedRequest& request : plan.requests) {
        if (!connections[0]->can(request.command)) {
            ++result.skipped;
            continue;
        }
        connections[request.client_id % connections.size()]->add(request);
        result.recorded.commands[static_cast<size_t>(request.command)].count(
            request.length, request.latency_ns, false);
        first_ns = std::min(first_ns, request.start_ns);
        end_ns = std::max(end_ns, request.start_ns + request.latency_ns);
    }
    if (result.recorded.sum().requests == 0)
        return fail(EOPNOTSUPP, "{}: has none of the commands of the trace {}", options.uri,
                    options.trace);
    result.recorded_ns = end_ns - first_ns;

    std::vector<Result<void>> results(connections.size());
    std::vector<std::thread> threads;
    Clock::time_point begin = Clock::now(), end = begin;
    for (size_t i = 0; i < connections.size(); ++i)
        threads.emplace_back([&, i] { results[i] = connections[i]->run(begin, first_ns); });
    for (std::thread& thread : threads) thread.join();
    for (const auto& connection : connections) {
        result.replayed.add(connection->statistics());
        end = std::max(end, connection->end());
    }
    for (Result<void>& one : results) TRY(std::move(one));
    result.took_ns = ns_between(begin, end);
    return result;
}

}  // namespace hyper::ctl
