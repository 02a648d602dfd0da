// SPDX-License-Identifier: Apache-2.0
#include "providers/libvirt/nbd_reader.h"

#include <errno.h>
#include <libnbd.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

#include "providers/libvirt/virt.h"

namespace hyper::provider::libvirt {
namespace {

constexpr size_t connections_max = 4;
// What a server of QEMU has under way for one connection.
constexpr size_t lane_jobs_max = 16;
constexpr uint64_t status_bytes_max = 1u << 30;
constexpr const char* allocation = "base:allocation";

int64_t now_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

const Failure gone{HYPER_SNAPSHOT_GONE, "libvirt: the NBD server of this point in time has ended: the guest or its backup job was stopped"};

}  // namespace

// What an extents() waits for. Shared, since its caller may leave before the answer comes.
struct NbdReader::Status {
    std::string context;
    uint32_t flag;  // of an entry
    uint32_t means;
    uint64_t end;
    size_t room;

    std::mutex mutex;
    std::condition_variable changed;
    std::vector<hyper_extent> found;  // guarded by mutex, as what follows
    uint64_t at = 0;
    bool done = false;
    Failure failure{HYPER_OK, ""};

    void add(uint64_t length, uint32_t flags) {
        length = std::min(length, end - at);
        if (length == 0) return;
        if (!found.empty() && found.back().flags == flags)
            found.back().length += length;
        else if (found.size() < room)
            found.push_back({length, flags});
        else
            end = at;
        if (at < end) at += length;
    }
};

// A read or a status, of whose answer somebody is told exactly once.
struct NbdReader::Job {
    uint32_t disk;
    uint64_t offset;
    size_t length;
    int64_t deadline_ns;
    hyper_read* read = nullptr;
    std::shared_ptr<Status> status;
    Lane* lane = nullptr;
    std::list<std::unique_ptr<Job>>::iterator place{};

    void end(const Failure& failure) {
        if (read != nullptr) {
            hyper_read& mine = *std::exchange(read, nullptr);
            failure.kind == HYPER_OK ? finish(mine) : finish(mine, failure);
        } else if (status) {
            std::lock_guard lock(status->mutex);
            status->done = true;
            status->failure = failure;
            status->changed.notify_all();
        }
    }
};

struct NbdReader::Lane {
    uint32_t disk;
    nbd_handle* nbd = nullptr;
    bool ended = false;  // by the server
    std::list<std::unique_ptr<Job>> jobs;

    ~Lane() { nbd_close(nbd); }
    bool is_free() const { return nbd != nullptr && !ended && nbd_aio_is_ready(nbd) == 1 && jobs.size() < lane_jobs_max; }
};

NbdReader::NbdReader(std::vector<NbdExport> exports) : exports_(std::move(exports)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Outcome<std::unique_ptr<NbdReader>> NbdReader::open(std::vector<NbdExport> exports, const hyper_call& call) {
    std::unique_ptr<NbdReader> reader(new NbdReader(std::move(exports)));
    for (uint32_t disk = 0; disk < reader->exports_.size(); ++disk) {
        const NbdExport& from = reader->exports_[disk];
        for (size_t count = 1, number = 0; number < count; ++number) {
            Lane& lane = *reader->lanes_.emplace_back(new Lane{disk, nullptr, false, {}});
            if (auto started = reader->connect(lane); !started) return tl::unexpected(started.error());
            while (nbd_aio_is_connecting(lane.nbd) == 1) {
                if (given_up(call)) return failed(HYPER_RETRY_LATER, "libvirt: connect to " + from.socket + ": no answer in time");
                if (nbd_poll(lane.nbd, std::min(ms_left(call), 100)) == -1) break;
            }
            if (nbd_aio_is_ready(lane.nbd) != 1)
                return failed(HYPER_RETRY_LATER, "libvirt: export " + from.name + " of " + from.socket + ": " + nbd_get_error());
            if (number > 0) continue;
            int64_t size = nbd_get_size(lane.nbd);
            if (size < 0) return failed(HYPER_FATAL, "libvirt: size of export " + from.name + ": " + nbd_get_error());
            if (!from.bitmap.empty() && nbd_can_meta_context(lane.nbd, ("qemu:dirty-bitmap:" + from.bitmap).c_str()) != 1)
                return failed(HYPER_FATAL, "libvirt: export " + from.name + " of " + from.socket + " has no bitmap " + from.bitmap);
            reader->sizes_.push_back(static_cast<uint64_t>(size));
            if (nbd_can_multi_conn(lane.nbd) == 1) count = connections_max;
        }
    }
    reader->thread_ = std::thread([mine = reader.get()] { mine->run(); });
    return reader;
}

Outcome<void> NbdReader::connect(Lane& lane) {
    const NbdExport& from = exports_[lane.disk];
    lane.nbd = nbd_create();
    bool well = lane.nbd != nullptr && nbd_set_export_name(lane.nbd, from.name.c_str()) == 0 &&
                nbd_add_meta_context(lane.nbd, allocation) == 0 &&
                (from.bitmap.empty() || nbd_add_meta_context(lane.nbd, ("qemu:dirty-bitmap:" + from.bitmap).c_str()) == 0) &&
                nbd_aio_connect_unix(lane.nbd, from.socket.c_str()) == 0;
    if (well) return {};
    hyper_failure kind = nbd_get_errno() == EACCES || nbd_get_errno() == EPERM ? HYPER_NOT_ALLOWED : HYPER_RETRY_LATER;
    return failed(kind, "libvirt: connect to " + from.socket + ": " + nbd_get_error());
}

NbdReader::~NbdReader() {
    if (!thread_.joinable()) return;
    {
        std::lock_guard lock(mutex_);
        ending_ = true;
    }
    eventfd_write(wake_.get(), 1);
    thread_.join();
}

void NbdReader::submit(std::unique_ptr<Job> job) {
    {
        std::lock_guard lock(mutex_);
        if (!ending_) incoming_.push_back(std::move(job));
    }
    if (job) return job->end(gone);
    eventfd_write(wake_.get(), 1);
}

void NbdReader::read(hyper_read& read) {
    if (read.disk >= sizes_.size() || read.offset > sizes_[read.disk] || read.length > sizes_[read.disk] - read.offset)
        return finish(read, {HYPER_FATAL, "libvirt: a read past the end of the disk"});
    if (read.length == 0) return finish(read);
    submit(std::make_unique<Job>(Job{read.disk, read.offset, read.length, read.deadline_ns, &read, nullptr}));
}

Outcome<std::vector<hyper_extent>> NbdReader::extents(const hyper_call& call, Map map, uint32_t disk, uint64_t offset, uint64_t length,
                                                      size_t room) {
    if (disk >= sizes_.size() || offset >= sizes_[disk] || room == 0)
        return failed(HYPER_FATAL, "libvirt: extents past the end of the disk");
    length = std::min({length, sizes_[disk] - offset, status_bytes_max});
    auto status = std::make_shared<Status>();
    bool dirty = map == Map::dirty;
    status->context = dirty ? "qemu:dirty-bitmap:" + exports_[disk].bitmap : allocation;
    status->flag = dirty ? 1 : LIBNBD_STATE_ZERO;
    status->means = dirty ? HYPER_EXTENT_CHANGED : HYPER_EXTENT_ZERO;
    status->at = offset;
    status->end = offset + length;
    status->room = room;
    submit(std::make_unique<Job>(Job{disk, offset, static_cast<size_t>(length), call.deadline_ns, nullptr, status}));

    std::unique_lock lock(status->mutex);
    while (!status->done) {
        if (given_up(call)) return failed(HYPER_RETRY_LATER, "libvirt: extents of " + exports_[disk].name + ": no answer in time");
        status->changed.wait_for(lock, std::chrono::milliseconds(std::min(ms_left(call) + 1, 100)));
    }
    if (status->failure.kind != HYPER_OK) return tl::unexpected(status->failure);
    if (status->found.empty()) return failed(HYPER_FATAL, "libvirt: the server says nothing of " + status->context);
    return std::move(status->found);
}

void NbdReader::run() {
    std::vector<pollfd> polled;
    while (true) {
        eventfd_t woken = 0;
        eventfd_read(wake_.get(), &woken);
        {
            std::lock_guard lock(mutex_);
            if (ending_) break;
            std::move(incoming_.begin(), incoming_.end(), std::back_inserter(waiting_));
            incoming_.clear();
        }
        int64_t now = now_ns();
        for (auto& lane : lanes_) look_after(*lane, now);
        hand_out();

        polled.assign(1, {wake_.get(), POLLIN, 0});
        for (auto& lane : lanes_) {
            bool open = lane->nbd != nullptr && !lane->ended;
            unsigned direction = open ? nbd_aio_get_direction(lane->nbd) : 0;
            int events = (direction & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) | (direction & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0);
            polled.push_back({open ? nbd_aio_get_fd(lane->nbd) : -1, static_cast<short>(events), 0});
        }
        if (poll(polled.data(), polled.size(), wait_ms(now)) < 0 && errno != EINTR) break;
        for (size_t i = 0; i < lanes_.size(); ++i) {
            Lane& lane = *lanes_[i];
            short events = polled[i + 1].revents;
            if (events == 0 || lane.ended) continue;
            unsigned direction = nbd_aio_get_direction(lane.nbd);
            // A hang-up is found by reading, or else by writing.
            if (direction & LIBNBD_AIO_DIRECTION_READ && events & (POLLIN | POLLHUP | POLLERR))
                nbd_aio_notify_read(lane.nbd);
            else if (direction & LIBNBD_AIO_DIRECTION_WRITE && events & (POLLOUT | POLLHUP | POLLERR))
                nbd_aio_notify_write(lane.nbd);
        }
    }
    for (auto& lane : lanes_) drop(*lane, gone);
    for (auto& job : waiting_) job->end(gone);
    waiting_.clear();
    std::deque<std::unique_ptr<Job>> late;
    {
        std::lock_guard lock(mutex_);
        ending_ = true;
        late.swap(incoming_);
    }
    for (auto& job : late) job->end(gone);
}

// How long nothing is late.
int NbdReader::wait_ms(int64_t now) const {
    int64_t first = std::numeric_limits<int64_t>::max();
    for (const auto& lane : lanes_)
        for (const auto& job : lane->jobs) first = std::min(first, job->deadline_ns);
    for (const auto& job : waiting_) first = std::min(first, job->deadline_ns);
    if (first == std::numeric_limits<int64_t>::max()) return -1;
    return static_cast<int>(std::clamp<int64_t>((first - now) / 1'000'000 + 1, 0, 60'000));
}

// Ends what is late or lost.
void NbdReader::look_after(Lane& lane, int64_t now) {
    const Failure late{HYPER_RETRY_LATER, "libvirt: " + exports_[lane.disk].socket + " did not answer in time"};
    if (lane.nbd != nullptr && !lane.ended && (nbd_aio_is_dead(lane.nbd) == 1 || nbd_aio_is_closed(lane.nbd) == 1)) {
        drop(lane, gone);
        lane.ended = true;
    }
    bool is_late = std::any_of(lane.jobs.begin(), lane.jobs.end(), [&](const auto& job) { return job->deadline_ns <= now; });
    if (is_late) {
        drop(lane, late);
        if (!connect(lane)) lane.ended = true;
    }
}

void NbdReader::drop(Lane& lane, const Failure& failure) {
    // From here on libnbd touches no buffer.
    nbd_close(std::exchange(lane.nbd, nullptr));
    std::list<std::unique_ptr<Job>> jobs = std::move(lane.jobs);
    lane.jobs.clear();
    for (auto& job : jobs) job->end(failure);
}

void NbdReader::hand_out() {
    int64_t now = now_ns();
    std::deque<std::unique_ptr<Job>> still;
    for (auto& job : waiting_) {
        Lane* best = nullptr;
        bool hope = false;
        for (auto& lane : lanes_) {
            if (lane->disk != job->disk) continue;
            hope |= !lane->ended;
            if (lane->is_free() && (best == nullptr || lane->jobs.size() < best->jobs.size())) best = lane.get();
        }
        if (!hope)
            job->end(gone);
        else if (job->deadline_ns <= now)
            job->end({HYPER_RETRY_LATER, "libvirt: " + exports_[job->disk].socket + " did not answer in time"});
        else if (best != nullptr)
            hand_to(*best, std::move(job));
        else
            still.push_back(std::move(job));
    }
    waiting_ = std::move(still);
}

void NbdReader::hand_to(Lane& lane, std::unique_ptr<Job> job) {
    Job* mine = job.get();
    mine->lane = &lane;
    mine->place = lane.jobs.insert(lane.jobs.end(), std::move(job));

    nbd_completion_callback completion{};
    completion.user_data = mine;
    completion.callback = [](void* opaque, int* error) {
        Job* done = static_cast<Job*>(opaque);
        Failure failure{HYPER_OK, ""};
        if (*error == ESHUTDOWN || *error == ENOTCONN || *error == EPIPE)
            failure = gone;
        else if (*error != 0)
            failure = {HYPER_FATAL, "libvirt: read of " + std::to_string(done->length) + " bytes at " + std::to_string(done->offset) +
                                        ": " + strerror(*error)};
        std::unique_ptr<Job> owned = std::move(*done->place);
        done->lane->jobs.erase(done->place);
        owned->end(failure);
        return 1;
    };
    int64_t cookie = -1;
    if (mine->read != nullptr) {
        cookie = nbd_aio_pread(lane.nbd, mine->read->buffer, mine->length, mine->offset, completion, 0);
    } else {
        nbd_extent_callback extent{};
        extent.user_data = mine->status.get();
        extent.callback = [](void* opaque, const char* context, uint64_t, uint32_t* entries, size_t count, int*) {
            Status& status = *static_cast<Status*>(opaque);
            if (status.context != context) return 0;
            std::lock_guard lock(status.mutex);
            for (size_t i = 0; i + 1 < count; i += 2) status.add(entries[i], entries[i + 1] & status.flag ? status.means : 0);
            return 0;
        };
        cookie = nbd_aio_block_status(lane.nbd, mine->length, mine->offset, extent, completion, 0);
    }
    if (cookie != -1) return;
    Failure refused{nbd_aio_is_dead(lane.nbd) == 1 ? HYPER_SNAPSHOT_GONE : HYPER_FATAL, std::string("libvirt: ") + nbd_get_error()};
    for (auto at = lane.jobs.begin(); at != lane.jobs.end(); ++at) {
        if (at->get() != mine) continue;
        std::unique_ptr<Job> owned = std::move(*at);
        lane.jobs.erase(at);
        owned->end(refused);
        return;
    }
}

}  // namespace hyper::provider::libvirt
