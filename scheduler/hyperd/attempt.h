// SPDX-License-Identifier: Apache-2.0
// One attempt of a run, on a thread of its own: the job's hook before, `hyperctl sync`, the hook after.
//
// A hook before that fails ends the attempt (Failure::hook), and the hook after is run all the same, lest what the first one froze stays
// frozen. A hook after that fails is said, and changes nothing: the generation is there. Hooks find in their environment HYPER_JOB, HYPER_SOURCE,
// HYPER_VOLUME, HYPER_PERIOD, HYPER_ROOT and, the one after, HYPER_OUTCOME (success, failed, stopped). While the sync runs, it is noted how far
// it came.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "scheduler/hyperd/attempt_note.h"
#include "scheduler/hyperd/process.h"
#include "scheduler/hyperd/run_log.h"
#include "scheduler/jobs/job_state.h"

namespace hyper::hyperd {

struct AttemptWish {
    scheduler::Job job;
    std::string period;
    std::string run;       // names this run of the job for ever, unlike that of a job of this name in another state folder
    std::string hyperctl;  // the program
    std::string root;      // where it keeps volumes and its ledger
    std::string logs;      // RunLog's folder
    std::string notes;     // and that of notes, where `before` is AttemptNote's
    uint64_t before = 0;
    uint64_t bandwidth_bytes_per_second = 0;  // 0: no limit
};

struct AttemptReport {
    std::string job, period;
    scheduler::AttemptEnd end;
    bool stopped = false;      // because stop() was called; then end.outcome is for who called it to say
    Instant from{}, until{};
    uint64_t moved_bytes = 0, changed_bytes = 0;  // of a sync that did not end: moved is what it had told
    double seconds = 0;        // that the sync says it took; of one that did not end, the time that went by
    bool first = false;        // of the volume: nothing was there to compare with
};

struct AttemptProgress {
    uint64_t done_bytes = 0, total_bytes = 0;  // 0 until it is known
};

class Attempt {
  public:
    // `done` is called once, on the attempt's thread, as its last act; it must not destroy the attempt.
    static Result<std::unique_ptr<Attempt>> start(AttemptWish wish, std::function<void(AttemptReport)> done);
    // Asks it to end, and waits for it.
    ~Attempt();

    // Asks it to end: soon done() is called, and then nothing of it is left. Thread-safe, as are the following.
    void stop();
    // For the sync, also while it runs. 0: no limit.
    void limit_rate(uint64_t bytes_per_second);
    AttemptProgress progress() const { return {done_bytes_, total_bytes_}; }
    const std::string& period() const { return wish_.period; }

  private:
    Attempt(AttemptWish wish, std::function<void(AttemptReport)> done, std::unique_ptr<Process> pre, std::unique_ptr<Process> sync,
            std::unique_ptr<Process> post);
    void run();
    bool run_hook(const std::optional<scheduler::Hook>& hook, Process& process, const char* which, const std::string& outcome, RunLog& log);
    void run_sync(AttemptReport& report, RunLog& log);
    void note(Instant from, uint64_t moved_bytes);
    Process::Environment environment(const std::string& outcome) const;

    const AttemptWish wish_;
    const std::function<void(AttemptReport)> done_;
    const std::unique_ptr<Process> pre_, sync_, post_;
    std::atomic<uint64_t> done_bytes_{0}, total_bytes_{0};
    std::atomic<uint64_t> rate_;  // that the sync was told
    std::atomic<bool> stopped_{false};
    bool not_noted_ = false;  // which was said; of its thread
    std::thread thread_;
};

// How a sync went wrong, by the errno that it told.
scheduler::Failure failure_of(int code);

}  // namespace hyper::hyperd
