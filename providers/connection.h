// SPDX-License-Identifier: Apache-2.0
// A provider's connection and snapshots, for use from C++: with deadlines, and with errors as values.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "blockengine/base/result.h"
#include "providers/callers.h"
#include "providers/module.h"
#include "providers/registry.h"

namespace hyper {

struct FoundRemoteDisk {
    std::string name, detail;
    uint64_t size_bytes = 0;
    bool tracks_changes = false;
};

struct CheckFinding {
    hyper_verdict verdict;
    std::string what, text;
};

struct SnapshotWish {
    std::vector<std::string> disks;
    bool track = false;
    std::vector<std::string> since;  // one a disk, empty for none; or no item at all
};

struct RemoteDiskFacts {
    uint64_t size_bytes = 0;
    std::string identity, disk_id, change_id, format;
    hyper_consistency consistency = HYPER_CRASH_CONSISTENT;
    uint32_t request_bytes_min = 0, request_bytes_max = 0, requests_max = 0, request_bytes_good = 0;
};

struct RemoteExtent {
    uint64_t offset, length;
    uint32_t flags;  // HYPER_EXTENT_...
};

// See hyper_machine.
struct MachineWish {
    struct Disk {
        std::string disk_id, path, format;
    };
    std::string name;
    std::vector<Disk> disks;
    std::vector<std::pair<std::string, std::string>> companions;  // name, bytes
    bool look_only = false;
};

class Connection;

// Thread-safe. Released when nobody has it any more, nor a call of it is under way, in another thread: the last holder may be the
// provider's own.
class ProviderSnapshot : public std::enable_shared_from_this<ProviderSnapshot> {
  public:
    ~ProviderSnapshot();
    ProviderSnapshot(const ProviderSnapshot&) = delete;
    ProviderSnapshot& operator=(const ProviderSnapshot&) = delete;

    Result<RemoteDiskFacts> describe(uint32_t disk) const;
    // Of [offset, offset + length), as far as the provider tells at once; ascending, without gaps, from `offset` on, at least one.
    // Errors: ENODATA where what changed is not known.
    Result<std::vector<RemoteExtent>> extents(uint32_t disk, uint64_t offset, uint64_t length) const;
    Result<std::vector<RemoteExtent>> changed(uint32_t disk, uint64_t offset, uint64_t length) const;
    bool tells_extents() const;
    Result<void> companions(const std::function<bool(const std::string& name, const std::string& bytes)>& found) const;
    // The read must stay where it is until it is done, and so must this snapshot.
    void read(hyper_read& read) const;
    // A later state will be compared with this one: its mark stays when it is released.
    void keep_mark() const { outcome_ = HYPER_KEPT; }

  private:
    friend class Connection;
    ProviderSnapshot(std::shared_ptr<const Connection> connection, void* handle);
    using Pager = hyper_failure (*)(void*, const hyper_call*, uint32_t, uint64_t, uint64_t, hyper_extent*, size_t*, hyper_error*);
    Result<std::vector<RemoteExtent>> page(Pager pager, const char* what, uint32_t disk, uint64_t offset, uint64_t length) const;

    std::shared_ptr<const Connection> connection_;
    void* handle_;
    mutable std::atomic<hyper_outcome> outcome_ = HYPER_ABANDONED;
};

// Thread-safe; closed when nobody has it nor a snapshot of it any more, in another thread.
class Connection : public std::enable_shared_from_this<Connection> {
  public:
    using Clock = Callers::Clock;
    // For one call: $HYPER_REMOTE_TIMEOUT seconds, or 30.
    static std::chrono::milliseconds call_limit();
    // Taking and releasing a snapshot, which may wait for a guest, take up to ten times as long.
    static std::chrono::milliseconds snapshot_limit() { return 10 * call_limit(); }

    // Errors: those of the provider; EIO where it did not answer in time.
    static Result<std::shared_ptr<const Connection>> open(std::shared_ptr<const Module> module, const std::string& uri,
                                                          const ProviderOptions& options = {});
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    // Of the disk that the URI means; nullopt where it means all of a place.
    const std::optional<std::string>& disk() const { return disk_; }
    // The URI without a password or a query, for messages.
    const std::string& name() const { return name_; }
    Result<std::vector<FoundRemoteDisk>> list() const;
    // nullopt: all. Errors: ENOTSUP where the provider has no check.
    Result<std::vector<CheckFinding>> check(const std::optional<std::string>& disk) const;
    // Tries again while the provider says that it will pass, within snapshot_limit.
    Result<std::shared_ptr<ProviderSnapshot>> take_snapshot(const SnapshotWish& wish) const;
    Result<void> clean(const std::string& kind, const std::string& id) const;
    // Errors: ENOTSUP where the provider makes no machines.
    Result<void> define(const MachineWish& wish) const;
    const Module& module() const { return *module_; }

  private:
    friend class ProviderSnapshot;
    Connection(std::shared_ptr<const Module> module, std::string name) : module_(std::move(module)), name_(std::move(name)) {}
    std::shared_ptr<const Module> module_;
    std::string name_;
    void* handle_ = nullptr;
    std::optional<std::string> disk_;
};

// To be called before the process ends, when nothing of providers is used any more: waits until snapshots are released and connections
// closed. What cannot be done in time stays in the ledger.
void end_providers();

// A URI as it may be shown: no password, no query.
std::string shown_uri(std::string_view uri);

}  // namespace hyper
