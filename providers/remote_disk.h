// SPDX-License-Identifier: Apache-2.0
// A disk of a provider at one point in time, as the engine reads what is far away: every read ends in bounded time.
//
// Design note. A request is one read that the engine wants; an attempt is one call into the provider for it. A request has one budget: so
// many attempts, so much time, whatever the failures are. After an attempt that may pass (retry later; no answer in time) the next comes
// after a random time (exponential, full jitter), when the endpoint's breaker lets it. An attempt that is given up goes on to belong to the
// provider, with its buffer, and holds the snapshot; its answer is dropped. "Log in again" makes a new connection and snapshot, once for all
// requests; they go on there if it has the same identity, and otherwise this state is gone. A request whose budget is used up ends with
// ETIMEDOUT, since EIO would mean that a part of the range may be read by itself (blockengine/remote.h).
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "blockengine/change_map.h"
#include "blockengine/remote.h"
#include "providers/breaker.h"
#include "providers/connection.h"
#include "providers/remote_wish.h"

namespace hyper {

struct RemoteLimits {
    std::chrono::milliseconds attempt{10'000}, request{30'000};
    unsigned attempts_max = 8;
    // Connection::call_limit() for a request, a third of it for an attempt.
    static RemoteLimits of_process();
};

// Thread-safe.
class RemoteDisk : public Remote, public std::enable_shared_from_this<RemoteDisk> {
  public:
    // The disk that a URI means, at a snapshot taken now. Errors: those of Registry::for_scheme(), Connection::open() and take_snapshot();
    // EINVAL for a URI that means no single disk.
    static Result<std::shared_ptr<RemoteDisk>> open(const std::string& uri, const RemoteWish& wish = {},
                                                    const RemoteLimits& limits = RemoteLimits::of_process());
    // All disks of the place that a URI means, at one moment. `since_of` tells the change id that a disk is to be compared with, by its name as the
    // provider lists it. Errors: as above; ENOENT where there is none; those of `since_of`.
    using SinceOf = std::function<Result<std::string>(const std::string& disk)>;
    static Result<std::vector<std::shared_ptr<RemoteDisk>>> open_together(const std::string& uri, const RemoteWish& wish, const SinceOf& since_of,
                                                                          const RemoteLimits& limits = RemoteLimits::of_process());
    ~RemoteDisk() override;

    uint64_t size_bytes() const override { return facts_.size_bytes; }
    const std::string& name() const override { return name_; }
    const std::string& identity() const override { return facts_.identity; }
    uint32_t request_bytes_min() const override;
    uint32_t request_bytes_max() const override;
    uint32_t request_bytes_good() const override { return facts_.request_bytes_good; }
    uint32_t requests_max() const override;
    void read(uint64_t offset, uint32_t length, Done done) const override;
    Run next_data(uint64_t offset, uint64_t end) const override;

    const RemoteDiskFacts& facts() const { return facts_; }
    // As the provider lists it.
    const std::string& disk() const { return disk_; }
    // nullptr where no mark was left, and nothing was compared with.
    std::shared_ptr<const ChangeMap> changes() const;
    Result<void> companions(const std::function<bool(const std::string& name, const std::string& bytes)>& found) const;

  private:
    struct Request;
    struct Attempt;
    class Changes;
    using Clock = Callers::Clock;
    using Requests = std::list<std::shared_ptr<Request>>;

    // A snapshot, and which of its disks this is.
    struct Held {
        std::shared_ptr<ProviderSnapshot> snapshot;
        uint32_t number = 0;
    };

    RemoteDisk(std::string uri, std::string disk, RemoteWish wish, const RemoteLimits& limits);
    Result<void> connect();
    Held held() const;

    void begin(const std::shared_ptr<Request>& request) const;
    void attempt(const std::shared_ptr<Request>& request) const;
    static void attempt_done(hyper_read* read, hyper_failure failure, const hyper_error* error);
    void ended(const std::shared_ptr<Request>& request, unsigned attempt_number, Result<std::shared_ptr<const Bytes>> result, hyper_failure failure,
               uint32_t retry_after_ms, const std::shared_ptr<ProviderSnapshot>& of) const;
    void try_again(const std::shared_ptr<Request>& request, Error error, uint32_t retry_after_ms) const;
    void finish(const std::shared_ptr<Request>& request, Result<std::shared_ptr<const Bytes>> result) const;
    void watch() const;
    void log_in_again(const std::shared_ptr<ProviderSnapshot>& old) const;

    const std::string uri_;
    std::string disk_, name_;  // disk_: empty until connect() where the URI tells it
    const RemoteWish wish_;
    const RemoteLimits limits_;
    RemoteDiskFacts facts_;
    std::shared_ptr<Breaker> breaker_;

    mutable std::atomic<bool> complained_ = false;  // since a request last succeeded

    mutable std::mutex mutex_;
    mutable Held held_;                                   // guarded by mutex_
    mutable Requests requests_;                           // guarded by mutex_; by their end, which is that of their beginning
    mutable bool watched_ = false;                        // guarded by mutex_
    mutable bool logging_in_ = false;                     // guarded by mutex_
    mutable std::minstd_rand draw_{std::random_device{}()};  // guarded by mutex_
    mutable std::vector<RemoteExtent> known_;             // guarded by mutex_; the last answer about extents
};

}  // namespace hyper
