// SPDX-License-Identifier: Apache-2.0
// hyperd without its doors: keeps the jobs, asks decide() what each does now, writes that down, and then does it.
//
// Design note. One thread, that of loop(), decides. It wakes at the earliest moment that a decision names, when a run ends, and when somebody asked
// for something or a carbon service told something new; everything it knows is behind one mutex, which is not held while anything waits for a disk
// of ours or for a network. The order is always: read what happened, decide, commit, act. What was committed and not done yet when hyperd is killed
// is done at the next start: a run that was going on is taken up as one that was interrupted, under the same period, which is its idempotency key,
// and charged for what is noted of it.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "scheduler/costs.h"
#include "scheduler/hyperd/attempt.h"
#include "scheduler/hyperd/outlooks.h"
#include "scheduler/state/store.h"

namespace hyper::hyperd {

struct DaemonOptions {
    std::string config;    // the file
    std::string root;      // of --root; empty: the system's folders
    std::string hyperctl;  // the program that syncs
};

struct JobView {
    scheduler::Job job;
    scheduler::JobState state;
    std::string json;  // as it was added by the API; empty for one of the file
    std::optional<AttemptProgress> progress;  // while it runs
};

// Since the start.
struct Counters {
    uint64_t succeeded = 0, failed = 0, cancelled = 0, suspended = 0, attempts = 0, read_bytes = 0, decisions = 0;
    double grams = 0;
};

// Thread-safe.
class Daemon {
  public:
    // Errors: those of the configuration and of the store.
    static Result<std::unique_ptr<Daemon>> open(DaemonOptions options);
    ~Daemon();

    // Until stop(). Then syncs that run have been interrupted, and the store says that they go on.
    void loop();
    // For the thread that called open(), as reload().
    void stop();
    // Reads the configuration again; on an error everything stays as it was.
    Result<void> reload();

    std::vector<JobView> jobs();
    Result<JobView> job(const std::string& name);
    // `json` as parse_job_json() takes it. Errors: EEXIST, EINVAL.
    Result<void> add_job(const std::string& name, const std::string& json);
    // Errors: also ENOENT; EBUSY for one of the file, and for one that runs.
    Result<void> replace_job(const std::string& name, const std::string& json);
    Result<void> remove_job(const std::string& name);
    enum class Wish { run, pause, resume, cancel };
    Result<void> ask(const std::string& name, Wish wish);

    // What every job would do now, and why.
    std::vector<scheduler::Decision> plan();
    Result<std::vector<scheduler::RunRow>> runs(const std::string& job, size_t count_max);
    Result<std::vector<scheduler::DecisionRow>> decisions(const std::string& job, size_t count_max);
    // Waits until there are some, at most so long; also until stop(), and then gives none.
    Result<std::vector<scheduler::Event>> events_after(int64_t after, size_t count_max, std::chrono::milliseconds wait);
    Result<int64_t> last_event();
    // For webhooks: what is due; and what came of it.
    Result<std::vector<scheduler::OutboxRow>> outbox();
    Result<void> delivered(const std::vector<int64_t>& rows, const std::vector<scheduler::OutboxRow>& again);
    // Waits for new events or the end, at most so long. False at the end.
    bool wait(std::chrono::milliseconds most);

    scheduler::Config config();
    Counters counters();
    const std::string& logs() const { return logs_; }
    const std::string& root() const { return root_; }
    std::shared_ptr<const scheduler::Prices> prices();
    // ENOENT for a zone that no job names with that signal.
    Result<carbon::CarbonStatus> carbon_status(const std::string& zone, carbon::SignalKind kind);

  private:
    struct Running {
        std::unique_ptr<Attempt> attempt;
        scheduler::Job job;
    };

    Daemon(DaemonOptions options, scheduler::Store store) : options_(std::move(options)), store_(std::move(store)) {}
    void start_polling();
    Result<void> load_again();
    // All of these need mutex_.
    enum class Loading { start, again };
    Result<void> load(Loading loading);
    Result<scheduler::Config> read_all(std::map<std::string, std::string>& added);
    Result<void> take_up_interrupted();
    Result<std::vector<scheduler::Decision>> decide_now(Instant now);
    Result<bool> step(Instant now);
    void tell_of_objective(scheduler::Change& change, const scheduler::Decision& decision, Instant deadline, Instant when);
    void tell_of_budget(scheduler::Change& change, const scheduler::Decision& decision, scheduler::JobState& state, Instant when);
    Result<void> end_open_run(scheduler::Change& change, const scheduler::JobState& state, Instant when);
    bool finish(const AttemptReport& report);
    // What an attempt did and used, into its run's row and the month.
    Result<void> count(scheduler::Change& change, scheduler::RunRow& row, const scheduler::Job& job, const AttemptReport& report);
    Result<void> charge(scheduler::Change& change, scheduler::RunRow& row, const scheduler::Job& job, const AttemptReport& report);
    void finish_ended();
    // `ended_before`: so many attempts of its run have ended.
    void start(const scheduler::Decision& decision, uint64_t ended_before);
    void settle_some(Instant now);
    Result<void> commit(scheduler::Change& change);
    Result<void> know_new_jobs(scheduler::Change& change, Instant now);
    void end_attempts(std::unique_lock<std::mutex>& lock);
    const scheduler::Job* find(const std::string& name) const;
    Result<void> change_jobs(const std::string& name, const std::string& json, bool there);

    const DaemonOptions options_;
    std::string root_, logs_, notes_;
    uint64_t seed_ = 0;

    std::mutex mutex_;
    std::condition_variable changed_;
    scheduler::Store store_;     // guarded by mutex_, as is all that follows
    scheduler::Config config_;
    std::map<std::string, std::string> added_;  // jobs that the API added: their JSON
    std::map<std::string, scheduler::JobState> states_;
    std::map<std::string, std::vector<scheduler::SyncMeasure>> measures_;
    scheduler::Costs costs_;
    std::unique_ptr<Outlooks> outlooks_;  // its polling is begun and stopped by who calls open(), reload() and stop()
    std::vector<scheduler::Decision> last_;  // what was decided last
    std::map<std::string, Running> running_;
    std::vector<AttemptReport> ended_;
    std::vector<AttemptReport> unwritten_;  // whose end could not be written; tried again
    std::map<std::string, std::string> noted_;  // by job: what of its decision is in the log of decisions
    std::map<std::string, Instant> at_risk_, missed_;  // by job: for which deadline that was said
    Counters counters_;
    Instant settle_at_{};
    bool stopping_ = false, woken_ = false;
    uint64_t generation_ = 0;  // rises with every commit that had events
};

}  // namespace hyper::hyperd
