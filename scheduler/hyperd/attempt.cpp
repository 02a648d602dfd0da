// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/attempt.h"

#include <cerrno>
#include <nlohmann/json.hpp>

#include "blockengine/base/log.h"

namespace hyper::hyperd {

namespace {

using Json = nlohmann::json;
using scheduler::Failure;
using scheduler::Outcome;

// What is read in so long a time may be missing from what a killed attempt is charged for.
constexpr std::chrono::seconds note_every{1};

Instant now() { return std::chrono::floor<Seconds>(std::chrono::system_clock::now()); }

uint64_t number_at(const Json& json, const char* key) {
    auto found = json.find(key);
    return found != json.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

std::string text_at(const Json& json, const char* key) {
    auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

// What `hyperctl sync --json` prints at its end, of either kind.
void read_report(const Json& json, AttemptReport& report) {
    if (auto generation = json.find("generation"); generation != json.end() && generation->is_number_unsigned()) {
        report.end.generation = std::to_string(generation->get<uint64_t>());
        report.first = *generation == 1;
    }
    report.moved_bytes = number_at(json, "read-bytes");
    report.changed_bytes = number_at(json, "different-bytes");
    if (auto seconds = json.find("seconds"); seconds != json.end() && seconds->is_number()) report.seconds = seconds->get<double>();
}

}  // namespace

Failure failure_of(int code) {
    switch (code) {
        case EBUSY:
        case ETXTBSY:
            return Failure::busy;
        case ENOSPC:
        case EDQUOT:
            return Failure::no_space;
        case EACCES:
        case EPERM:
        case EROFS:
            return Failure::denied;
        case EINVAL:
        case ENOENT:
        case ENOTDIR:
        case ENOTSUP:
        case ERANGE:
        case EFBIG:
            return Failure::wrong;
        case EAGAIN:
        case ECONNREFUSED:
        case ECONNRESET:
        case ECONNABORTED:
        case ENOTCONN:
        case EHOSTUNREACH:
        case ENETUNREACH:
        case ETIMEDOUT:
        case EPIPE:
            return Failure::unavailable;
        default:
            return Failure::io;
    }
}

Attempt::Attempt(AttemptWish wish, std::function<void(AttemptReport)> done, std::unique_ptr<Process> pre, std::unique_ptr<Process> sync,
                 std::unique_ptr<Process> post)
    : wish_(std::move(wish)), done_(std::move(done)), pre_(std::move(pre)), sync_(std::move(sync)), post_(std::move(post)), rate_(wish_.bandwidth_bytes_per_second) {
    sync_->tell(std::to_string(rate_));
    thread_ = std::thread([this] { run(); });
}

Result<std::unique_ptr<Attempt>> Attempt::start(AttemptWish wish, std::function<void(AttemptReport)> done) {
    auto pre = TRY(Process::make());
    auto sync = TRY(Process::make(Process::Input::told));
    auto post = TRY(Process::make());
    return std::unique_ptr<Attempt>(new Attempt(std::move(wish), std::move(done), std::move(pre), std::move(sync), std::move(post)));
}

Attempt::~Attempt() {
    stop();
    thread_.join();
}

// The hook after is not stopped: it puts right what the one before did.
void Attempt::stop() {
    stopped_ = true;
    pre_->stop();
    sync_->stop();
}

void Attempt::limit_rate(uint64_t bytes_per_second) {
    if (rate_.exchange(bytes_per_second) != bytes_per_second) sync_->tell(std::to_string(bytes_per_second));
}

Process::Environment Attempt::environment(const std::string& outcome) const {
    Process::Environment more{{"HYPER_JOB", wish_.job.name}, {"HYPER_SOURCE", wish_.job.source}, {"HYPER_VOLUME", wish_.job.volume}, {"HYPER_PERIOD", wish_.period}, {"HYPER_ROOT", wish_.root}};
    if (!outcome.empty()) more.emplace_back("HYPER_OUTCOME", outcome);
    return more;
}

bool Attempt::run_hook(const std::optional<scheduler::Hook>& hook, Process& process, const char* which, const std::string& outcome, RunLog& log) {
    if (!hook || hook->argv.empty()) return true;
    log.add(now(), fmt::format("the hook {} begins: {}", which, hook->argv[0]));
    auto end = process.run(hook->argv, environment(outcome), hook->time_limit, [&](std::string_view line) { log.add(now(), line); });
    if (end && end->exit_code == 0) return true;
    std::string why = !end            ? end.error().message
                      : end->stopped  ? "it was stopped"
                      : end->timed_out ? fmt::format("it took longer than its limit of {} s and was ended", hook->time_limit.count())
                      : end->signal != 0 ? fmt::format("signal {} ended it", end->signal)
                                         : fmt::format("it ended with {}", end->exit_code);
    log.add(now(), fmt::format("the hook {} failed: {}", which, why));
    log_warning("job {}: the hook {} failed: {}", wish_.job.name, which, why);
    return false;
}

void Attempt::note(Instant from, uint64_t moved_bytes) {
    auto written = write_note(wish_.notes, wish_.job.name, {wish_.period, wish_.before, from, now(), moved_bytes});
    if (!written && !not_noted_) log_warning("job {}: how far its sync came is not noted: {}", wish_.job.name, written.error().message);
    not_noted_ = !written;
}

void Attempt::run_sync(AttemptReport& report, RunLog& log) {
    std::vector<std::string> argv{wish_.hyperctl, "sync", "--json", "--progress", "--create", "--limit-rate", "-", "--run", wish_.run, "--", wish_.job.source, wish_.job.volume};
    std::string last_line;
    std::optional<std::chrono::steady_clock::time_point> noted;
    auto end = sync_->run(argv, environment(""), std::chrono::seconds(0), [&](std::string_view line) {
        Json json = line.starts_with('{') ? Json::parse(line, nullptr, false) : Json();
        if (json.is_object() && json.contains("done-bytes")) {
            done_bytes_ = number_at(json, "done-bytes");
            total_bytes_ = number_at(json, "total-bytes");
            auto told = std::chrono::steady_clock::now();
            if (!noted || told - *noted >= note_every || done_bytes_ == total_bytes_) {
                note(report.from, done_bytes_);
                noted = told;
            }
            return;
        }
        last_line = line;
        log.add(now(), line);
    });
    scheduler::AttemptEnd& result = report.end;
    result.outcome = Outcome::failed;
    if (!end) {
        result.failure = Failure::io;
        result.message = end.error().message;
        return;
    }
    Json said = Json::parse(end->output, nullptr, false);
    if (said.is_object()) read_report(said, report);
    // One that did not come to its end has told on the way how far it came.
    if (!said.is_object() || !said.contains("read-bytes")) report.moved_bytes = done_bytes_;
    if (end->exit_code == 0 && !result.generation.empty()) {
        result.outcome = Outcome::success;
        note(report.from, report.moved_bytes);
        log.add(now(), fmt::format("generation {}: {} bytes read, {} different", result.generation, report.moved_bytes, report.changed_bytes));
        return;
    }
    if (end->signal != 0) {
        result.failure = Failure::killed;
        result.message = fmt::format("signal {} ended the sync", end->signal);
    } else if (said.is_object() && said.contains("errno")) {
        result.failure = failure_of(static_cast<int>(number_at(said, "errno")));
        result.message = text_at(said, "message");
    } else {
        result.failure = end->exit_code == 126 || end->exit_code == 127 ? Failure::wrong : Failure::io;
        result.message = last_line.empty() ? fmt::format("the sync ended with {}", end->exit_code) : last_line;
    }
}

void Attempt::run() {
    RunLog log = RunLog::open(wish_.logs, wish_.job.name, wish_.period);
    AttemptReport report;
    report.job = wish_.job.name;
    report.period = wish_.period;
    report.from = now();
    auto begin = std::chrono::steady_clock::now();
    log.add(report.from, fmt::format("sync of {} into {} begins, for {}", wish_.job.source, wish_.job.volume, wish_.period));
    const scheduler::Policy& rules = wish_.job.rules;
    if (run_hook(rules.pre, *pre_, "before", "", log))
        run_sync(report, log);
    else
        report.end = {Outcome::failed, Failure::hook, "the hook before the sync failed: see the run's log", ""};
    report.until = now();
    if (report.seconds == 0) report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    bool good = report.end.outcome == Outcome::success;
    report.stopped = stopped_ && !good;
    run_hook(rules.post, *post_, "after", good ? "success" : report.stopped ? "stopped" : "failed", log);
    log.add(now(), good ? "done" : report.stopped ? "stopped; what was stored is kept, and the next sync goes on there" : "failed: " + report.end.message);
    done_(std::move(report));
}

}  // namespace hyper::hyperd
