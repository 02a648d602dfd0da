// SPDX-License-Identifier: Apache-2.0
// What others ask of the daemon, and how it begins. What it does by itself is in daemon_loop.cpp.
#include "scheduler/hyperd/daemon.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>

#include "blockengine/base/log.h"
#include "scheduler/hyperd/events.h"
#include "scheduler/hyperd/paths.h"
#include "scheduler/hyperd/views.h"

namespace hyper::hyperd {

using namespace scheduler;

namespace {

Instant now() { return std::chrono::floor<Seconds>(std::chrono::system_clock::now()); }

// Drawn once for this state folder, so that the same state is decided the same again, and two machines with one configuration
// do not begin in the same second.
Result<uint64_t> seed_of(const std::string& folder) {
    std::string path = folder + "/seed";
    uint64_t seed = 0;
    if (std::ifstream file(path); file >> seed) return seed;
    if (::getrandom(&seed, sizeof seed, 0) != sizeof seed) return fail(errno, "draw a seed: {}", errno_text(errno));
    std::string text = std::to_string(seed) + "\n", made = path + ".new";
    UniqueFd fd(::open(made.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    bool good = fd && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(fd.get()) == 0 &&
                ::rename(made.c_str(), path.c_str()) == 0;
    if (!good) return fail(errno, "{}: write the seed: {}", path, errno_text(errno));
    return seed;
}

Result<void> make_folders(const std::string& path) {
    std::filesystem::path folder;
    for (const auto& part : std::filesystem::path(path)) {
        folder /= part;
        if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return fail(errno, "{}: make the folder: {}", folder.string(), errno_text(errno));
    }
    return {};
}

}  // namespace

Result<std::unique_ptr<Daemon>> Daemon::open(DaemonOptions options) {
    Config config = TRY(read_config(options.config));
    std::string state = config.state_folder.empty() ? state_below(options.root) : config.state_folder;
    TRY(make_folders(state));
    Store store = TRY(Store::open(state, Access::write));
    std::unique_ptr<Daemon> made(new Daemon(std::move(options), std::move(store)));
    made->root_ = data_below(made->options_.root);
    made->logs_ = state + "/logs";
    made->notes_ = state + "/attempts";
    TRY(make_folders(made->notes_));
    made->seed_ = TRY(seed_of(state));
    made->outlooks_ = TRY(Outlooks::open(state + "/feeds", made->seed_));
    {
        std::lock_guard lock(made->mutex_);
        TRY(made->load(Loading::start));
        TRY(made->take_up_interrupted());
    }
    made->start_polling();
    return made;
}

Daemon::~Daemon() = default;

// The file's jobs and those that were added, of which `added` tells which are in force.
Result<Config> Daemon::read_all(std::map<std::string, std::string>& added) {
    Config config = TRY(read_config(options_.config));
    auto left = TRY(store_.jobs());
    std::map<std::string, std::string> wrong;
    // They come by name, and one may come after another that is still to come: rounds, as long as one brings some in.
    for (size_t before = left.size() + 1; left.size() < before;) {
        before = left.size();
        std::erase_if(left, [&](const StoredJob& stored) {
            auto job = parse_job_json(stored.json, stored.name, config);
            Result<void> done = job ? hyper::scheduler::add_job(config, std::move(*job)) : Result<void>(tl::unexpected(job.error()));
            if (done)
                added.emplace(stored.name, stored.json);
            else
                wrong[stored.name] = done.error().message;
            return done.has_value();
        });
    }
    // They stay in the store: a configuration that is put right brings them back.
    for (const StoredJob& stored : left)
        log_error("job {}, which was added by the API, does not fit the configuration and is left out: {}", stored.name, wrong[stored.name]);
    return config;
}

// All of it, or nothing. But syncs are not left undone because nothing is known of carbon or money: at a start these may be missing.
Result<void> Daemon::load(Loading loading) {
    std::map<std::string, std::string> added;
    Config config = TRY(read_all(added));
    auto sources = outlooks_->make(config, options_.config);
    auto costs = Costs::load(config);
    if (loading == Loading::again) {
        if (!sources) return tl::unexpected(sources.error());
        if (!costs) return tl::unexpected(costs.error());
    }
    if (!sources) {
        log_error("{}; nothing is known of carbon until this is mended and read again (SIGHUP)", sources.error().message);
        sources = Sources{};
    }
    if (!costs) {
        log_error("{}; only the built-in prices count until this is mended and read again (SIGHUP)", costs.error().message);
        costs = TRY(Costs::load({}));
    }
    auto states = TRY(store_.states());
    auto measures = TRY(store_.measures());
    states_ = std::move(states);
    measures_ = std::move(measures);
    std::swap(config_, config);  // commit() asks it for webhooks
    Change change;
    auto done = know_new_jobs(change, now());
    if (done) {
        change.events.push_back(event(now(), "config.loaded", "", Json{{"file", options_.config}, {"jobs", config_.jobs.size()}}));
        done = commit(change);
    }
    if (!done) {
        std::swap(config_, config);
        return done;
    }
    outlooks_->use(std::move(*sources), config_);
    costs_ = std::move(*costs);
    added_ = std::move(added);
    for (const std::string& warning : config_.warnings) log_warning("{}", warning);
    for (auto& [name, running] : running_)
        if (find(name) == nullptr) running.attempt->stop();
    return {};
}

Result<void> Daemon::know_new_jobs(Change& change, Instant when) {
    for (const auto& entry : config_.jobs) {
        const std::string& name = entry.first;
        if (states_.contains(name)) continue;
        JobState state;
        state.job = name;
        state.since = when;
        state.why = "it has never run";
        // One of that name may have been there: its runs stay in the ledger, and none of them is begun again.
        for (const RunRow& row : TRY(store_.runs(name, 1000)))
            if (uint64_t number = 0; row.period.starts_with("asked ") &&
                                     std::from_chars(row.period.data() + 6, row.period.data() + row.period.size(), number).ec == std::errc())
                state.asked = std::max<uint64_t>(state.asked, number);
        change.states.push_back(state);
        change.events.push_back(event(when, "job.added", name, Json{{"source", entry.second.source}, {"volume", entry.second.volume}}));
    }
    return {};
}

// Runs that went on when hyperd ended without a word, or that the configuration had left out since.
Result<void> Daemon::take_up_interrupted() {
    for (const auto& [name, job] : config_.jobs) {
        const JobState& state = states_.at(name);
        if (state.phase != Phase::running || running_.contains(name)) continue;
        Change change;
        AttemptEnd end{Outcome::killed, Failure::killed, "hyperd ended while it ran; how far it came is not known", ""};
        if (auto row = TRY(store_.run(name, state.period))) {
            auto note = read_note(notes_, name);
            if (!note && note.error().code != ENOENT) log_warning("job {}: {}", name, note.error().message);
            if (note && note->period == state.period && note->before == row->stretches.size()) {
                AttemptReport report;
                report.job = name, report.period = state.period;
                report.from = note->from, report.until = note->until;
                report.moved_bytes = note->moved_bytes;
                report.seconds = static_cast<double>((note->until - note->from).count());
                TRY(count(change, *row, job, report));
                row->noted_bytes += note->moved_bytes;
                end.message = fmt::format("hyperd ended while it ran; counted is what it had read by {}: {} bytes", instant_text(note->until),
                                          note->moved_bytes);
            }
            row->phase = "suspended";
            row->message = end.message;
            change.runs.push_back(std::move(*row));
        }
        change.states.push_back(after_end(job, state, end, {}, now(), seed_));
        change.events.push_back(event(now(), "run.suspended", name, Json{{"period", state.period}, {"message", end.message}}));
        TRY(commit(change));
    }
    return {};
}

// What is committed is what is known here: memory follows the store.
Result<void> Daemon::commit(Change& change) {
    for (const Webhook& hook : config_.api.webhooks) change.urls.push_back(hook.url);
    change.wanted = [this](const std::string& url, const Event& event) {
        return std::ranges::any_of(config_.api.webhooks, [&](const Webhook& hook) { return hook.url == url && wants(hook.events, event.kind); });
    };
    TRY(store_.commit(change));
    for (const std::string& name : change.removed_jobs) states_.erase(name);
    for (const JobState& state : change.states) states_[state.job] = state;
    for (const SyncMeasure& measure : change.measures) {
        auto& of_source = measures_[measure.source];
        of_source.push_back(measure);
        drop_unused(of_source);
    }
    if (change.events.empty()) return {};
    ++generation_;
    changed_.notify_all();
    return {};
}

void Daemon::start_polling() {
    outlooks_->start_polling(now, [this] {
        std::lock_guard lock(mutex_);
        woken_ = true;
        changed_.notify_all();
    });
}

Result<void> Daemon::reload() {
    // Without the lock, which its threads may wait for.
    outlooks_->stop_polling();
    auto done = load_again();
    start_polling();
    return done;
}

Result<void> Daemon::load_again() {
    std::lock_guard lock(mutex_);
    TRY(load(Loading::again));
    // The configuration is in force by now.
    if (auto taken = take_up_interrupted(); !taken) log_error("interrupted runs are not taken up: {}", taken.error().message);
    woken_ = true;
    changed_.notify_all();
    return {};
}

void Daemon::stop() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
        changed_.notify_all();
    }
    outlooks_->stop_polling();
}

const Job* Daemon::find(const std::string& name) const {
    auto found = config_.jobs.find(name);
    return found == config_.jobs.end() ? nullptr : &found->second;
}

std::vector<JobView> Daemon::jobs() {
    std::lock_guard lock(mutex_);
    std::vector<JobView> list;
    for (const auto& [name, job] : config_.jobs) {
        auto added = added_.find(name);
        auto running = running_.find(name);
        list.push_back({job, states_.at(name), added == added_.end() ? "" : added->second,
                        running == running_.end() ? std::nullopt : std::optional(running->second.attempt->progress())});
    }
    return list;
}

Result<JobView> Daemon::job(const std::string& name) {
    for (JobView& view : jobs())
        if (view.job.name == name) return std::move(view);
    return fail(ENOENT, "job {}: there is none of that name", name);
}

Result<void> Daemon::change_jobs(const std::string& name, const std::string& json, bool there) {
    std::lock_guard lock(mutex_);
    const Job* old = find(name);
    if (!there && old != nullptr) return fail(EEXIST, "job {}: there is one of that name", name);
    if (there && old == nullptr) return fail(ENOENT, "job {}: there is none of that name", name);
    if (there && !added_.contains(name)) return fail(EBUSY, "job {}: stands in {}; change it there, and reload", name, options_.config);
    if (there && states_.at(name).phase == Phase::running) return fail(EBUSY, "job {}: it runs; cancel it first", name);
    Config config = config_;
    config.jobs.erase(name);
    Job job = TRY(parse_job_json(json, name, config));
    TRY(hyper::scheduler::add_job(config, std::move(job)));
    // What was fixed by the definition before counts no more than for a new job, but for what is on the disk.
    std::swap(config_, config);
    Change change;
    change.put_jobs.push_back({name, json, now()});
    if (there) change.events.push_back(event(now(), "job.changed", name, Json::object()));
    auto done = there ? Result<void>() : know_new_jobs(change, now());
    if (done) done = commit(change);
    if (!done) {
        std::swap(config_, config);
        return done;
    }
    added_[name] = json;
    outlooks_->add_zones(config_);
    woken_ = true;
    changed_.notify_all();
    return {};
}

Result<void> Daemon::add_job(const std::string& name, const std::string& json) { return change_jobs(name, json, false); }
Result<void> Daemon::replace_job(const std::string& name, const std::string& json) { return change_jobs(name, json, true); }

Result<void> Daemon::remove_job(const std::string& name) {
    std::lock_guard lock(mutex_);
    if (find(name) == nullptr) return fail(ENOENT, "job {}: there is none of that name", name);
    if (!added_.contains(name)) return fail(EBUSY, "job {}: stands in {}; take it out there, and reload", name, options_.config);
    if (states_.at(name).phase == Phase::running || running_.contains(name)) return fail(EBUSY, "job {}: it runs; cancel it first", name);
    for (const auto& [other, job] : config_.jobs)
        if (std::ranges::any_of(job.rules.after, [&](const After& after) { return after.job == name; }))
            return fail(EBUSY, "job {}: job {} comes after it; delete or change that first", name, other);
    Change change;
    change.removed_jobs.push_back(name);
    change.events.push_back(event(now(), "job.removed", name, Json::object()));
    TRY(commit(change));
    config_.jobs.erase(name);
    added_.erase(name);
    RunLog::remove(logs_, name);
    remove_note(notes_, name);
    return {};
}

// The row of a run that waited to be tried again, or to go on.
Result<void> Daemon::end_open_run(Change& change, const JobState& state, Instant when) {
    auto row = state.period.empty() ? std::nullopt : TRY(store_.run(state.job, state.period));
    if (!row || row->ended_at) return {};
    row->phase = "cancelled";
    row->message = "it was cancelled";
    row->ended_at = when;
    change.runs.push_back(*row);
    change.events.push_back(event(when, "run.cancelled", state.job, Json{{"period", row->period}, {"message", row->message}}));
    return {};
}

Result<void> Daemon::ask(const std::string& name, Wish wish) {
    std::lock_guard lock(mutex_);
    if (find(name) == nullptr) return fail(ENOENT, "job {}: there is none of that name", name);
    const JobState& state = states_.at(name);
    Change change;
    switch (wish) {
        case Wish::run:
            change.states.push_back(after_run_asked(state));
            break;
        case Wish::pause:
            change.states.push_back(after_pause(state));
            change.events.push_back(event(now(), "job.paused", name, Json::object()));
            break;
        case Wish::resume:
            change.states.push_back(after_resume(state));
            change.events.push_back(event(now(), "job.resumed", name, Json::object()));
            break;
        case Wish::cancel:
            change.states.push_back(after_cancel(state, now()));
            if (state.phase != Phase::running) TRY(end_open_run(change, state, now()));
            break;
    }
    TRY(commit(change));
    woken_ = true;
    changed_.notify_all();
    return {};
}

std::vector<Decision> Daemon::plan() {
    std::lock_guard lock(mutex_);
    auto fresh = decide_now(now());
    return fresh ? std::move(*fresh) : last_;
}

Result<std::vector<RunRow>> Daemon::runs(const std::string& job, size_t count_max) {
    std::lock_guard lock(mutex_);
    return store_.runs(job, count_max);
}

Result<std::vector<DecisionRow>> Daemon::decisions(const std::string& job, size_t count_max) {
    std::lock_guard lock(mutex_);
    return store_.decisions(job, count_max);
}

Result<std::vector<Event>> Daemon::events_after(int64_t after, size_t count_max, std::chrono::milliseconds wait) {
    std::unique_lock lock(mutex_);
    auto until = std::chrono::steady_clock::now() + wait;
    for (;;) {
        if (stopping_) return std::vector<Event>();
        auto events = TRY(store_.events_after(after, count_max));
        if (!events.empty()) return events;
        uint64_t seen = generation_;
        if (!changed_.wait_until(lock, until, [&] { return stopping_ || generation_ != seen; })) return std::vector<Event>();
    }
}

Result<int64_t> Daemon::last_event() {
    std::lock_guard lock(mutex_);
    return store_.last_event();
}

Result<std::vector<OutboxRow>> Daemon::outbox() {
    std::lock_guard lock(mutex_);
    auto rows = TRY(store_.outbox(now()));
    // What is sent is the event as a whole, as the stream of events has it.
    for (OutboxRow& row : rows)
        for (const Event& event : TRY(store_.events_after(row.event - 1, 1)))
            if (event.id == row.event) row.body = json_of(event).dump(-1, ' ', false, Json::error_handler_t::replace);
    return rows;
}

Result<void> Daemon::delivered(const std::vector<int64_t>& rows, const std::vector<OutboxRow>& again) {
    std::lock_guard lock(mutex_);
    Change change;
    change.delivered = rows;
    change.retried = again;
    return commit(change);
}

bool Daemon::wait(std::chrono::milliseconds most) {
    std::unique_lock lock(mutex_);
    uint64_t seen = generation_;
    changed_.wait_for(lock, most, [&] { return stopping_ || generation_ != seen; });
    return !stopping_;
}

Config Daemon::config() {
    std::lock_guard lock(mutex_);
    return config_;
}

Counters Daemon::counters() {
    std::lock_guard lock(mutex_);
    return counters_;
}

std::shared_ptr<const Prices> Daemon::prices() {
    std::lock_guard lock(mutex_);
    return costs_.prices();
}

Result<carbon::CarbonStatus> Daemon::carbon_status(const std::string& zone, carbon::SignalKind kind) {
    std::lock_guard lock(mutex_);
    return outlooks_->status(zone, kind, now());
}

}  // namespace hyper::hyperd
