// SPDX-License-Identifier: Apache-2.0
// What the scheduler knows, durable: an SQLite database "jobs.db" in the state folder (WAL, synchronous=FULL; sqlite3.h is included in sqlite.cpp alone). A commit
// that returned survives kill -9 and power loss; it is there as a whole or not at all. So: decide, commit, then act.
//
// Bound to one thread; others open one of their own (read-only for answering questions). Two writers at a time are refused by a lock.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "scheduler/state/ledger.h"

namespace hyper::scheduler {

// What a run used; `sent_bytes` left its source.
struct Use {
    Money money;
    uint64_t api_calls = 0, sent_bytes = 0;
};

// Everything that one decision or one thing that happened changes: one transaction.
struct Change {
    std::vector<StoredJob> put_jobs;
    std::vector<std::string> removed_jobs;  // with their states; runs, decisions and events stay
    std::vector<JobState> states;
    std::vector<RunRow> runs;  // made or replaced, by (job, period)
    std::vector<DecisionRow> decisions;
    std::vector<SyncMeasure> measures;
    std::vector<Event> events;  // ids are given in order
    // For each of these urls, a row in the outbox for each of `events` that `wanted` says yes to.
    std::vector<std::string> urls;
    std::function<bool(const std::string& url, const Event& event)> wanted;
    // Added to what was used in the month of `used_at`.
    Instant used_at{};
    std::map<std::string, Use> used;  // by job
    std::vector<int64_t> delivered;                 // outbox rows to take away
    std::vector<OutboxRow> retried;                 // attempts and next_try to write
};

enum class Access { read, write };

class Store {
  public:
    // Makes folder and database when writing. EBUSY where another process writes; EINVAL for a database of a newer version; EIO for a damaged one, with what to do.
    static Result<Store> open(const std::string& folder, Access access);
    Store(Store&&) noexcept;
    Store& operator=(Store&&) noexcept;
    ~Store();

    // Durable on return. The ids that its events were given, in order.
    Result<std::vector<int64_t>> commit(const Change& change);

    Result<std::vector<StoredJob>> jobs();
    Result<std::map<std::string, JobState>> states();
    // By source, as drop_unused() leaves them, oldest first.
    Result<std::map<std::string, std::vector<SyncMeasure>>> measures();
    // Of the month of that time.
    Result<MonthUse> used(Instant now);

    Result<std::optional<RunRow>> run(const std::string& job, const std::string& period);
    // Newest first; of all jobs if `job` is empty.
    Result<std::vector<RunRow>> runs(const std::string& job, size_t count_max);
    // Those that have not ended: what a restart goes on with.
    Result<std::vector<RunRow>> open_runs();
    Result<std::vector<DecisionRow>> decisions(const std::string& job, size_t count_max);
    // Oldest first, those with an id above `after`.
    Result<std::vector<Event>> events_after(int64_t after, size_t count_max);
    // 0 where there is none.
    Result<int64_t> last_event();
    // Due at that time, in order of ids: of each url only its first.
    Result<std::vector<OutboxRow>> outbox(Instant now);
    std::string path() const;

    // Takes away decisions, events, messages that nobody took, and rows of runs that ended, where they are older, and what of the measurements is not used.
    Result<void> prune(Instant before);

  private:
    struct Parts;
    explicit Store(std::unique_ptr<Parts> parts);
    std::unique_ptr<Parts> parts_;
};

}  // namespace hyper::scheduler
