// SPDX-License-Identifier: Apache-2.0
#include "providers/remote_disk.h"

#include <algorithm>
#include <cerrno>

#include "blockengine/base/bytes.h"
#include "blockengine/base/log.h"
#include "providers/failure.h"
#include "providers/registry.h"
#include "providers/timer.h"

namespace hyper {

using namespace std::chrono_literals;

namespace {

constexpr uint32_t request_bytes_usual = 1 << 20, request_bytes_most = 32 << 20, requests_usual = 64;
constexpr auto backoff_min = 50ms, backoff_max = 5000ms;

// "s3://bucket" of "s3://bucket/key": what fails together. All of the URI where it names no host.
std::string endpoint_of(const std::string& uri) {
    size_t authority = uri.find("://");
    if (authority == std::string::npos) return uri;
    size_t path = uri.find('/', authority + 3);
    return path == authority + 3 ? uri : shown_uri(uri.substr(0, path));
}

bool may_pass(hyper_failure failure) { return failure == HYPER_RETRY_LATER || failure == HYPER_LOG_IN_AGAIN; }

}  // namespace

RemoteLimits RemoteLimits::of_process() {
    RemoteLimits limits;
    limits.request = Connection::call_limit();
    limits.attempt = std::max(limits.request / 3, 1ms);
    return limits;
}

// Members without a note belong to who made it, and do not change; the others are guarded by RemoteDisk::mutex_.
struct RemoteDisk::Request {
    uint64_t offset;
    uint32_t length;
    Done done;
    Clock::time_point end;
    unsigned attempts = 0;           // guarded
    bool under_way = false;          // guarded; an attempt is not answered yet
    Clock::time_point attempt_end{};  // guarded
    bool ended = false;              // guarded
    Error last{};                    // guarded; of the attempt before
    Requests::iterator at{};         // guarded
};

// Belongs to the provider until its done().
struct RemoteDisk::Attempt {
    hyper_read read{};  // first, so that done() finds the rest
    std::shared_ptr<const RemoteDisk> disk;
    std::shared_ptr<Request> request;
    unsigned number;
    std::shared_ptr<ProviderSnapshot> snapshot;
    std::shared_ptr<Bytes> buffer;
};

RemoteDisk::RemoteDisk(std::string uri, std::string disk, RemoteWish wish, const RemoteLimits& limits)
    : uri_(std::move(uri)), disk_(std::move(disk)), name_(shown_uri(uri_)), wish_(std::move(wish)), limits_(limits),
      breaker_(Breaker::of(endpoint_of(uri_), limits.request)) {}

RemoteDisk::~RemoteDisk() = default;

namespace {

Result<std::shared_ptr<const Connection>> connection_to(const std::string& uri, const RemoteWish& wish) {
    auto module = TRY(Registry::instance().for_scheme(uri_scheme(uri)));
    ProviderOptions options = Registry::instance().settings_of(module->name());
    options.insert(options.end(), wish.options.begin(), wish.options.end());
    return Connection::open(module, uri, options);
}

}  // namespace

Result<std::shared_ptr<RemoteDisk>> RemoteDisk::open(const std::string& uri, const RemoteWish& wish, const RemoteLimits& limits) {
    std::shared_ptr<RemoteDisk> disk(new RemoteDisk(uri, "", wish, limits));
    TRY(disk->connect());
    return disk;
}

Result<void> RemoteDisk::connect() {
    auto connection = TRY(connection_to(uri_, wish_));
    if (disk_.empty() && !connection->disk())
        return fail(EINVAL, "{}: means no single disk (hyperctl provider disks {} lists what is there)", name_, name_);
    if (disk_.empty()) disk_ = *connection->disk();
    SnapshotWish taken{{disk_}, wish_.track, {}};
    if (!wish_.since.empty()) taken.since = {wish_.since};
    held_ = {TRY(connection->take_snapshot(taken)), 0};
    facts_ = TRY(held_.snapshot->describe(0));
    return {};
}

Result<std::vector<std::shared_ptr<RemoteDisk>>> RemoteDisk::open_together(const std::string& uri, const RemoteWish& wish, const SinceOf& since_of,
                                                                           const RemoteLimits& limits) {
    auto connection = TRY(connection_to(uri, wish));
    SnapshotWish taken;
    taken.track = wish.track;
    for (const FoundRemoteDisk& found : TRY(connection->list())) {
        taken.since.push_back(TRY(since_of(found.name)));
        taken.disks.push_back(found.name);
    }
    if (taken.disks.empty()) return fail(ENOENT, "{}: there is no disk", shown_uri(uri));
    auto snapshot = TRY(connection->take_snapshot(taken));
    std::vector<std::shared_ptr<RemoteDisk>> disks;
    for (uint32_t number = 0; number < taken.disks.size(); ++number) {
        RemoteWish own = wish;
        own.since = taken.since[number];
        std::shared_ptr<RemoteDisk> disk(new RemoteDisk(uri, taken.disks[number], std::move(own), limits));
        disk->name_ += "/" + disk->disk_.substr(disk->disk_.rfind('/') + 1);
        disk->held_ = {snapshot, number};
        disk->facts_ = TRY(snapshot->describe(number));
        disks.push_back(std::move(disk));
    }
    return disks;
}

RemoteDisk::Held RemoteDisk::held() const {
    std::lock_guard lock(mutex_);
    return held_;
}

uint32_t RemoteDisk::request_bytes_min() const { return std::clamp<uint32_t>(facts_.request_bytes_min, 1, request_bytes_most); }

uint32_t RemoteDisk::request_bytes_max() const {
    uint32_t most = facts_.request_bytes_max == 0 ? request_bytes_usual : facts_.request_bytes_max;
    return std::clamp(most, request_bytes_min(), request_bytes_most);
}

uint32_t RemoteDisk::requests_max() const { return facts_.requests_max == 0 ? requests_usual : facts_.requests_max; }

void RemoteDisk::read(uint64_t offset, uint32_t length, Done done) const {
    if (!range_within(offset, length, size_bytes()))
        return done(fail(EINVAL, "{}: read {} bytes at offset {}: past the end of the disk ({} bytes)", name_, length, offset, size_bytes()));
    auto request = std::make_shared<Request>(Request{offset, length, std::move(done), Clock::now() + limits_.request});
    bool begin_watch = false;
    {
        std::lock_guard lock(mutex_);
        request->at = requests_.insert(requests_.end(), request);
        begin_watch = !std::exchange(watched_, true);
    }
    if (begin_watch) watch();
    begin(request);
}

// Looks at what is under way, again and again while anything is.
void RemoteDisk::watch() const {
    auto pause = std::clamp<Clock::duration>(limits_.attempt / 10, 5ms, 500ms);
    Timer::instance().at(Clock::now() + pause, [weak = weak_from_this()] {
        auto disk = weak.lock();
        if (!disk) return;
        auto now = Clock::now();
        std::vector<std::shared_ptr<Request>> late, over;
        {
            std::lock_guard lock(disk->mutex_);
            for (const auto& request : disk->requests_) {
                if (now >= request->end)
                    over.push_back(request);
                else if (request->under_way && now >= request->attempt_end)
                    late.push_back(request);
            }
        }
        Error hung{ETIMEDOUT, fmt::format("{}: read: no answer within {} ms; the provider hangs, or what it talks to", disk->name_,
                                    disk->limits_.attempt.count())};
        for (const auto& request : late) {
            disk->breaker_->failed(now, hung.message);
            disk->try_again(request, hung, 0);
        }
        for (const auto& request : over) {
            std::unique_lock lock(disk->mutex_);
            if (request->under_way) disk->breaker_->failed(now, hung.message);
            Error last = request->last.code == 0 ? hung : request->last;
            unsigned attempts = request->attempts;
            lock.unlock();
            disk->finish(request, fail(ETIMEDOUT, "{} (given up after {} attempts within {} ms)", last.message, attempts,
                                       disk->limits_.request.count()));
        }
        std::unique_lock lock(disk->mutex_);
        disk->watched_ = !disk->requests_.empty();
        bool go_on = disk->watched_;
        lock.unlock();
        if (go_on) disk->watch();
        // The last holder may be here: what it holds is let go elsewhere, by the snapshot's own means.
    });
}

// As soon as the breaker lets it.
void RemoteDisk::begin(const std::shared_ptr<Request>& request) const {
    auto admission = breaker_->admit(Clock::now());
    if (admission.what == Breaker::Admission::go) return attempt(request);
    if (admission.what == Breaker::Admission::refused) {
        return finish(request, fail(ETIMEDOUT, "{} (for {} s; requests are refused until that has passed)", admission.why,
                                    std::chrono::duration_cast<std::chrono::seconds>(limits_.request).count()));
    }
    Timer::instance().at(std::min(admission.until, request->end), [self = shared_from_this(), request] { self->begin(request); });
}

void RemoteDisk::attempt(const std::shared_ptr<Request>& request) const {
    auto own = std::make_unique<Attempt>();
    {
        std::lock_guard lock(mutex_);
        if (request->ended) return;
        own->number = ++request->attempts;
        request->under_way = true;
        request->attempt_end = std::min(Clock::now() + limits_.attempt, request->end);
        own->snapshot = held_.snapshot;
        own->read.disk = held_.number;
    }
    own->disk = shared_from_this();
    own->request = request;
    own->buffer = std::make_shared<Bytes>(request->length);
    own->read.size = sizeof own->read;
    own->read.offset = request->offset;
    own->read.length = request->length;
    own->read.buffer = own->buffer->data();
    own->read.deadline_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(request->attempt_end.time_since_epoch()).count();
    own->read.done = &RemoteDisk::attempt_done;
    auto holder = own->snapshot;  // done() may come at once, and with it the attempt's end
    holder->read(own.release()->read);
}

void RemoteDisk::attempt_done(hyper_read* read, hyper_failure failure, const hyper_error* error) {
    std::unique_ptr<Attempt> own(reinterpret_cast<Attempt*>(read));
    if (failure == HYPER_OK) return own->disk->ended(own->request, own->number, std::shared_ptr<const Bytes>(own->buffer), failure, 0, own->snapshot);
    hyper_error none{};
    const hyper_error& told = error == nullptr ? none : *error;
    auto what = fmt::format("read {} bytes at offset {}", own->request->length, own->request->offset);
    own->disk->ended(own->request, own->number, tl::unexpected(error_of_failure(failure, own->disk->name_, what, told)), failure,
                     told.retry_after_ms, own->snapshot);
}

void RemoteDisk::ended(const std::shared_ptr<Request>& request, unsigned attempt_number, Result<std::shared_ptr<const Bytes>> result,
                       hyper_failure failure, uint32_t retry_after_ms, const std::shared_ptr<ProviderSnapshot>& of) const {
    // A right answer is right whenever it comes; a failure only counts for the attempt that is waited for.
    if (result) {
        breaker_->succeeded();
        return finish(request, std::move(result));
    }
    {
        std::lock_guard lock(mutex_);
        if (request->ended || !request->under_way || request->attempts != attempt_number) return;
    }
    if (!may_pass(failure)) {
        breaker_->succeeded();  // it answers
        return finish(request, std::move(result));
    }
    if (failure == HYPER_LOG_IN_AGAIN)
        log_in_again(of);
    else
        breaker_->failed(Clock::now(), result.error().message);
    try_again(request, result.error(), retry_after_ms);
}

void RemoteDisk::try_again(const std::shared_ptr<Request>& request, Error error, uint32_t retry_after_ms) const {
    std::unique_lock lock(mutex_);
    if (request->ended) return;
    request->under_way = false;
    request->last = error;
    if (request->attempts >= limits_.attempts_max) {
        unsigned attempts = request->attempts;
        lock.unlock();
        return finish(request, fail(ETIMEDOUT, "{} (given up after {} attempts)", error.message, attempts));
    }
    Clock::duration most = std::min<Clock::duration>(backoff_min * (1u << std::min(request->attempts, 10u)), backoff_max);
    Clock::duration pause = std::chrono::nanoseconds(
        std::uniform_int_distribution<int64_t>(0, std::chrono::nanoseconds(most).count())(draw_));
    if (retry_after_ms != 0) pause = std::max<Clock::duration>(pause, std::chrono::milliseconds(retry_after_ms));
    lock.unlock();
    log_debug("{}; tried again", error.message);
    Timer::instance().at(Clock::now() + pause, [self = shared_from_this(), request] { self->begin(request); });
}

void RemoteDisk::finish(const std::shared_ptr<Request>& request, Result<std::shared_ptr<const Bytes>> result) const {
    Done done;
    {
        std::lock_guard lock(mutex_);
        if (std::exchange(request->ended, true)) return;
        requests_.erase(request->at);
        done = std::move(request->done);
    }
    // One line for many requests that fail one after the other.
    if (result)
        complained_ = false;
    else if (!complained_.exchange(true))
        log_warning("{}", result.error().message);
    else
        log_debug("{}", result.error().message);
    done(std::move(result));
}

void RemoteDisk::log_in_again(const std::shared_ptr<ProviderSnapshot>& old) const {
    {
        std::lock_guard lock(mutex_);
        if (held_.snapshot != old || std::exchange(logging_in_, true)) return;  // somebody did, or does
    }
    Callers::instance().post([self = shared_from_this()] {
        std::shared_ptr<RemoteDisk> fresh(new RemoteDisk(self->uri_, self->disk_, {self->wish_.options, false, {}}, self->limits_));
        auto connected = fresh->connect();
        bool same = connected && fresh->size_bytes() == self->size_bytes() && !self->identity().empty() && fresh->identity() == self->identity();
        std::vector<std::shared_ptr<Request>> gone;
        {
            std::lock_guard lock(self->mutex_);
            self->logging_in_ = false;
            if (same) self->held_ = fresh->held_;
            if (connected && !same) gone.assign(self->requests_.begin(), self->requests_.end());
        }
        if (!connected) log_warning("{}: log in again: {}", self->name_, connected.error().message);
        for (const auto& request : gone)
            self->finish(request, fail(ESTALE, "{}: logged in again, and this state of the disk is not there any more, or cannot be told from "
                                               "another", self->name_));
    });
}

Remote::Run RemoteDisk::next_data(uint64_t offset, uint64_t end) const {
    constexpr uint64_t asked_bytes_max = 64 * GiB;
    Held now = held();
    if (!now.snapshot->tells_extents()) return {offset, end};
    while (offset < end) {
        std::unique_lock lock(mutex_);
        auto known = std::find_if(known_.begin(), known_.end(),
                                  [&](const RemoteExtent& extent) { return offset >= extent.offset && offset < extent.offset + extent.length; });
        if (known == known_.end()) {
            lock.unlock();
            // A page beyond what is asked for, since who asks goes on from there.
            auto fresh = now.snapshot->extents(now.number, offset, std::min(size_bytes() - offset, std::max(end - offset, asked_bytes_max)));
            if (!fresh) {
                log_warning("{}; taken for data", fresh.error().message);
                return {offset, end};
            }
            lock.lock();
            known_ = std::move(*fresh);
            continue;
        }
        uint64_t stop = std::min(known->offset + known->length, end);
        if ((known->flags & HYPER_EXTENT_ZERO) == 0) return {offset, stop};
        offset = stop;
    }
    return {end, end};
}

Result<void> RemoteDisk::companions(const std::function<bool(const std::string&, const std::string&)>& found) const {
    return held().snapshot->companions(found);
}

class RemoteDisk::Changes : public ChangeMap {
  public:
    explicit Changes(std::shared_ptr<const RemoteDisk> disk) : disk_(std::move(disk)), held_(disk_->held()) {}
    std::string disk() const override { return disk_->facts_.disk_id; }
    std::string change_id() const override { return disk_->facts_.change_id; }
    std::vector<std::string> earlier() const override {
        return disk_->wish_.since.empty() ? std::vector<std::string>() : std::vector{disk_->wish_.since};
    }
    Result<std::optional<std::vector<ChangedRun>>> changed_since(std::string_view state) const override {
        std::vector<ChangedRun> runs;
        if (state.empty() || state != disk_->wish_.since) return std::nullopt;
        for (uint64_t at = 0, size = disk_->size_bytes(); at < size;) {
            auto page = held_.snapshot->changed(held_.number, at, size - at);
            if (!page) {
                log_warning("{}; everything is compared", page.error().message);
                return std::nullopt;
            }
            for (const RemoteExtent& extent : *page) {
                if (extent.flags & HYPER_EXTENT_CHANGED) runs.push_back({extent.offset, extent.length});
                at = extent.offset + extent.length;
            }
        }
        return runs;
    }
    void kept() const override { held_.snapshot->keep_mark(); }

  private:
    std::shared_ptr<const RemoteDisk> disk_;
    const Held held_;
};

std::shared_ptr<const ChangeMap> RemoteDisk::changes() const {
    if (facts_.change_id.empty() && wish_.since.empty()) return nullptr;
    return std::make_shared<Changes>(shared_from_this());
}

}  // namespace hyper
