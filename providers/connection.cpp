// SPDX-License-Identifier: Apache-2.0
#include "providers/connection.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <random>
#include <thread>

#include "providers/failure.h"
#include "providers/remote_disk.h"

namespace hyper {

namespace {

using Clock = Callers::Clock;

constexpr size_t extents_max = 1024;  // a page

// One call into a provider: what it needs belongs to it, since its caller may stop waiting.
struct Call {
    hyper_call call{};  // first, so that cancelled() finds the rest
    hyper_error error{};
    hyper_failure failure = HYPER_OK;
    std::atomic<bool> abandoned = false;

    Call(Clock::time_point deadline) {
        call.size = sizeof call;
        call.deadline_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(deadline.time_since_epoch()).count();
        call.cancelled = [](const hyper_call* asked) { return reinterpret_cast<const Call*>(asked)->abandoned.load(); };
        error.size = sizeof error;
    }
};

// `State` has a Call named `call` and what the call reads and writes. `invoke` gets the state; `late`, where the call returns after its
// caller has gone.
template <class State>
Result<void> perform(const std::shared_ptr<State>& state, Clock::time_point deadline, const std::string& who, const char* what,
                     std::function<hyper_failure(State&)> invoke, std::function<void(State&)> late = nullptr) {
    struct Ending {
        std::mutex mutex;
        bool left = false, returned = false;  // guarded by mutex
    };
    auto ending = std::make_shared<Ending>();
    bool answered = TRY(Callers::instance().run(deadline, [state, ending, invoke = std::move(invoke), late] {
        hyper_failure failure = invoke(*state);
        std::unique_lock lock(ending->mutex);
        ending->returned = true;
        state->call.failure = failure;
        bool left = ending->left;
        lock.unlock();
        if (left && failure == HYPER_OK && late) late(*state);
    }));
    if (!answered) {
        std::lock_guard lock(ending->mutex);
        if (!ending->returned) {
            ending->left = true;
            state->call.abandoned = true;
            return fail(EIO, "{}: {}: no answer within the time limit; the provider hangs, or what it talks to", who, what);
        }
    }
    if (state->call.failure == HYPER_OK) return {};
    return tl::unexpected(error_of_failure(state->call.failure, who, what, state->call.error));
}

// How many snapshots somebody holds. The last to let go of one may be a read ahead that nobody waits for.
struct Held {
    std::mutex mutex;
    std::condition_variable none;
    size_t count = 0;  // guarded by mutex

    void add() {
        std::lock_guard lock(mutex);
        ++count;
    }
    void remove() {
        std::lock_guard lock(mutex);
        if (--count == 0) none.notify_all();
    }
    void wait_for_none(Clock::time_point deadline) {
        std::unique_lock lock(mutex);
        none.wait_until(lock, deadline, [&] { return count == 0; });
    }
};

// Never destroyed: threads outlive main().
Held& held_snapshots() {
    static auto* held = new Held;
    return *held;
}

}  // namespace

void end_providers() {
    // What is read ahead is answered by then, or given up: that is the limit of an attempt. What hangs is not waited for.
    held_snapshots().wait_for_none(Clock::now() + RemoteLimits::of_process().attempt);
    Callers::instance().drain(Clock::now() + Connection::snapshot_limit());
}

std::string shown_uri(std::string_view uri) {
    std::string shown(uri.substr(0, uri.find_first_of("?#")));
    size_t authority = shown.find("://");
    if (authority == std::string::npos) return shown;
    authority += 3;
    size_t end = std::min(shown.find('/', authority), shown.size());
    size_t at = shown.rfind('@', end);
    size_t colon = shown.find(':', authority);
    if (at != std::string::npos && at > authority && at < end && colon < at) shown.erase(colon, at - colon);
    return shown;
}

std::chrono::milliseconds Connection::call_limit() {
    const char* text = ::getenv("HYPER_REMOTE_TIMEOUT");
    double seconds = text == nullptr ? 0 : std::strtod(text, nullptr);
    return seconds > 0 && seconds < 1e6 ? std::chrono::milliseconds(std::max<int64_t>(static_cast<int64_t>(seconds * 1000), 1))
                                        : std::chrono::milliseconds(30'000);
}

Result<std::shared_ptr<const Connection>> Connection::open(std::shared_ptr<const Module> module, const std::string& uri,
                                                           const ProviderOptions& options) {
    struct State {
        Call call;
        std::string uri{};
        ProviderOptions options{};
        std::shared_ptr<const Module> module{};
        void* handle = nullptr;
        std::string disk{};
        bool has_disk = false;
    };
    std::shared_ptr<Connection> connection(new Connection(module, shown_uri(uri)));
    auto deadline = Clock::now() + call_limit();
    auto state = std::shared_ptr<State>(new State{Call{deadline}, uri, options, module});
    TRY(perform<State>(
        state, deadline, connection->name_, "open",
        [](State& mine) {
            std::vector<hyper_option> given;
            for (const auto& [key, value] : mine.options) given.push_back({key.c_str(), value.c_str()});
            const char* disk = nullptr;
            const hyper_provider& table = mine.module->table();
            hyper_failure failure = table.open(mine.module->host(), &mine.call.call, mine.uri.c_str(), given.data(), given.size(),
                                               &mine.handle, &disk, &mine.call.error);
            mine.has_disk = failure == HYPER_OK && disk != nullptr;
            if (mine.has_disk) mine.disk = disk;
            return failure;
        },
        [](State& mine) { mine.module->table().close(mine.handle); }));
    connection->handle_ = state->handle;
    if (state->has_disk) connection->disk_ = state->disk;
    return connection;
}

Connection::~Connection() {
    if (handle_ == nullptr) return;
    Callers::instance().post([module = module_, handle = handle_] { module->table().close(handle); });
}

Result<std::vector<FoundRemoteDisk>> Connection::list() const {
    struct State {
        Call call;
        std::shared_ptr<const Connection> connection{};
        std::vector<FoundRemoteDisk> disks{};
    };
    auto deadline = Clock::now() + call_limit();
    auto state = std::shared_ptr<State>(new State{Call{deadline}, shared_from_this()});
    TRY(perform<State>(state, deadline, name_, "list disks", [](State& mine) {
        auto found = [](void* opaque, const hyper_disk* disk) {
            static_cast<State*>(opaque)->disks.push_back(
                {disk->name, disk->detail == nullptr ? "" : disk->detail, disk->size_bytes, disk->tracks_changes});
            return true;
        };
        return mine.connection->module_->table().list(mine.connection->handle_, &mine.call.call, found, &mine, &mine.call.error);
    }));
    return std::move(state->disks);
}

Result<std::vector<CheckFinding>> Connection::check(const std::optional<std::string>& disk) const {
    struct State {
        Call call;
        std::shared_ptr<const Connection> connection{};
        std::optional<std::string> disk{};
        std::vector<CheckFinding> findings{};
    };
    if (module_->table().check == nullptr) return fail(ENOTSUP, "provider {}: has no check", module_->name());
    auto deadline = Clock::now() + call_limit();
    auto state = std::shared_ptr<State>(new State{Call{deadline}, shared_from_this(), disk});
    TRY(perform<State>(state, deadline, name_, "check", [](State& mine) {
        auto finding = [](void* opaque, hyper_verdict verdict, const char* what, const char* text) {
            static_cast<State*>(opaque)->findings.push_back({verdict, what, text});
        };
        return mine.connection->module_->table().check(mine.connection->handle_, &mine.call.call, mine.disk ? mine.disk->c_str() : nullptr,
                                                       finding, &mine, &mine.call.error);
    }));
    return std::move(state->findings);
}

Result<std::shared_ptr<ProviderSnapshot>> Connection::take_snapshot(const SnapshotWish& wish) const {
    struct State {
        Call call;
        std::shared_ptr<const Connection> connection{};
        SnapshotWish wish{};
        void* handle = nullptr;
    };
    auto deadline = Clock::now() + snapshot_limit();
    std::minstd_rand draw(std::random_device{}());
    for (unsigned tries = 0;; ++tries) {
        auto state = std::shared_ptr<State>(new State{Call{deadline}, shared_from_this(), wish});
        auto taken = perform<State>(
            state, deadline, name_, "take a snapshot",
            [](State& mine) {
                std::vector<const char*> disks, since;
                for (const std::string& disk : mine.wish.disks) disks.push_back(disk.c_str());
                for (const std::string& id : mine.wish.since) since.push_back(id.empty() ? nullptr : id.c_str());
                hyper_snapshot_wish told{sizeof told, disks.data(), disks.size(), mine.wish.track, since.empty() ? nullptr : since.data()};
                return mine.connection->module_->table().take_snapshot(mine.connection->handle_, &mine.call.call, &told, &mine.handle,
                                                                       &mine.call.error);
            },
            [](State& mine) { mine.connection->module_->table().release(mine.handle, &mine.call.call, HYPER_ABANDONED); });
        if (taken) return std::shared_ptr<ProviderSnapshot>(new ProviderSnapshot(shared_from_this(), state->handle));
        bool passes = state->call.failure == HYPER_RETRY_LATER && !state->call.abandoned;
        auto pause = std::chrono::milliseconds(state->call.error.retry_after_ms);
        if (pause.count() == 0) pause = std::chrono::milliseconds(draw() % (200u << std::min(tries, 7u)));
        if (!passes || tries >= 5 || Clock::now() + pause > deadline) return tl::unexpected(taken.error());
        std::this_thread::sleep_for(pause);
    }
}

Result<void> Connection::clean(const std::string& kind, const std::string& id) const {
    struct State {
        Call call;
        std::shared_ptr<const Connection> connection{};
        std::string kind, id;
    };
    if (module_->table().clean == nullptr) return fail(ENOTSUP, "provider {}: cleans nothing up", module_->name());
    auto deadline = Clock::now() + call_limit();
    auto state = std::shared_ptr<State>(new State{Call{deadline}, shared_from_this(), kind, id});
    return perform<State>(state, deadline, name_, "clean up", [](State& mine) {
        return mine.connection->module_->table().clean(mine.connection->handle_, &mine.call.call, mine.kind.c_str(), mine.id.c_str(),
                                                       &mine.call.error);
    });
}

Result<void> Connection::define(const MachineWish& wish) const {
    struct State {
        Call call;
        std::shared_ptr<const Connection> connection{};
        MachineWish wish{};
    };
    if (module_->table().define == nullptr) return fail(ENOTSUP, "provider {}: makes no machines", module_->name());
    auto deadline = Clock::now() + call_limit();
    auto state = std::shared_ptr<State>(new State{Call{deadline}, shared_from_this(), wish});
    return perform<State>(state, deadline, name_, wish.look_only ? "look whether a machine can be made" : "make a machine", [](State& mine) {
        std::vector<hyper_companion> companions;
        for (const auto& [name, bytes] : mine.wish.companions) companions.push_back({name.c_str(), bytes.data(), bytes.size()});
        std::vector<hyper_machine_disk> disks;
        for (const MachineWish::Disk& disk : mine.wish.disks) disks.push_back({disk.disk_id.c_str(), disk.path.c_str(), disk.format.c_str()});
        hyper_machine told{sizeof told,       mine.wish.name.c_str(), disks.data(),        disks.size(),
                           companions.data(), companions.size(),      mine.wish.look_only};
        return mine.connection->module_->table().define(mine.connection->handle_, &mine.call.call, &told, &mine.call.error);
    });
}

ProviderSnapshot::ProviderSnapshot(std::shared_ptr<const Connection> connection, void* handle)
    : connection_(std::move(connection)), handle_(handle) {
    held_snapshots().add();
}

ProviderSnapshot::~ProviderSnapshot() {
    Callers::instance().post([connection = connection_, handle = handle_, outcome = outcome_.load()] {
        Call call(Clock::now() + Connection::snapshot_limit());
        connection->module_->table().release(handle, &call.call, outcome);
    });
    held_snapshots().remove();
}

Result<RemoteDiskFacts> ProviderSnapshot::describe(uint32_t disk) const {
    hyper_snapshot_disk told{};
    told.size = sizeof told;
    hyper_error error{};
    error.size = sizeof error;
    hyper_failure failure = connection_->module_->table().describe(handle_, disk, &told, &error);
    if (failure != HYPER_OK) return tl::unexpected(error_of_failure(failure, connection_->name(), "describe the disk", error));
    auto text = [](const char* given) { return given == nullptr ? std::string() : std::string(given); };
    return RemoteDiskFacts{told.size_bytes, text(told.identity), text(told.disk_id), text(told.change_id), text(told.format),
                           told.consistency, told.request_bytes_min, told.request_bytes_max,
                           told.requests_max, told.request_bytes_good};
}

bool ProviderSnapshot::tells_extents() const { return connection_->module_->table().extents != nullptr; }

Result<std::vector<RemoteExtent>> ProviderSnapshot::page(Pager pager, const char* what, uint32_t disk, uint64_t offset,
                                                         uint64_t length) const {
    struct State {
        Call call;
        std::shared_ptr<const ProviderSnapshot> snapshot{};
        std::array<hyper_extent, extents_max> extents{};
        size_t count = extents_max;
    };
    auto deadline = Clock::now() + Connection::call_limit();
    auto state = std::shared_ptr<State>(new State{Call{deadline}, shared_from_this()});
    TRY(perform<State>(state, deadline, connection_->name(), what, [=](State& mine) {
        return pager(mine.snapshot->handle_, &mine.call.call, disk, offset, length, mine.extents.data(), &mine.count, &mine.call.error);
    }));
    std::vector<RemoteExtent> found;
    uint64_t at = offset, end = offset + length;
    for (size_t i = 0; i < std::min(state->count, extents_max) && at < end; ++i) {
        const hyper_extent& extent = state->extents[i];
        uint64_t run = std::min(extent.length, end - at);
        if (run == 0) break;
        if (!found.empty() && found.back().flags == extent.flags)
            found.back().length += run;
        else
            found.push_back({at, run, extent.flags});
        at += run;
    }
    if (found.empty())
        return fail(EIO, "{}: {}: nothing was told of {} bytes at offset {}", connection_->name(), what, length, offset);
    return found;
}

Result<std::vector<RemoteExtent>> ProviderSnapshot::extents(uint32_t disk, uint64_t offset, uint64_t length) const {
    Pager pager = connection_->module_->table().extents;
    if (pager == nullptr) return std::vector<RemoteExtent>{{offset, length, 0}};
    return page(pager, "ask what is zero", disk, offset, length);
}

Result<std::vector<RemoteExtent>> ProviderSnapshot::changed(uint32_t disk, uint64_t offset, uint64_t length) const {
    Pager pager = connection_->module_->table().changed;
    if (pager == nullptr) return fail(ENODATA, "{}: its provider keeps no track of changes", connection_->name());
    return page(pager, "ask what changed", disk, offset, length);
}

Result<void> ProviderSnapshot::companions(const std::function<bool(const std::string&, const std::string&)>& found) const {
    struct State {
        Call call;
        std::shared_ptr<const ProviderSnapshot> snapshot{};
        std::vector<std::pair<std::string, std::string>> all{};
    };
    auto ask = connection_->module_->table().companions;
    if (ask == nullptr) return {};
    auto deadline = Clock::now() + Connection::call_limit();
    auto state = std::shared_ptr<State>(new State{Call{deadline}, shared_from_this()});
    TRY(perform<State>(state, deadline, connection_->name(), "ask for what belongs to the disks", [ask](State& mine) {
        auto keep = [](void* opaque, const char* name, const void* bytes, size_t length) {
            static_cast<State*>(opaque)->all.emplace_back(name, std::string(static_cast<const char*>(bytes), length));
            return true;
        };
        return ask(mine.snapshot->handle_, &mine.call.call, keep, &mine, &mine.call.error);
    }));
    for (const auto& [name, bytes] : state->all)
        if (!found(name, bytes)) break;
    return {};
}

void ProviderSnapshot::read(hyper_read& read) const { connection_->module_->table().read(handle_, &read); }

}  // namespace hyper
