// SPDX-License-Identifier: Apache-2.0
// What the daemon does by itself: read what happened, decide, commit, act.
#include <algorithm>
#include <iterator>
#include <utility>

#include "blockengine/base/log.h"
#include "scheduler/hyperd/daemon.h"
#include "scheduler/hyperd/events.h"
#include "scheduler/hyperd/settle.h"

namespace hyper::hyperd {

using namespace scheduler;

namespace {

constexpr Seconds sleep_max = std::chrono::hours(1), settle_every = std::chrono::hours(1);
// Runs of which something may still be measured are among the newest; older ones stay as they are.
constexpr size_t settled_max = 500;
constexpr Seconds kept_for = std::chrono::hours(24 * 400);

Instant now() { return std::chrono::floor<Seconds>(std::chrono::system_clock::now()); }

// What of a decision is worth a line in the log of decisions when it changes.
std::string note_of(const Decision& decision) {
    return fmt::format("{} {} {} {}", action_name(decision.action), cause_name(decision.cause), decision.period,
                       decision.at ? instant_text(*decision.at) : "");
}

const char* kind_of(const RunRow& row) {
    return row.phase == "success"     ? "run.succeeded"
           : row.phase == "cancelled" ? "run.cancelled"
           : row.phase == "suspended" ? "run.suspended"
           : row.phase == "retrying"  ? "run.retrying"
                                      : "run.failed";
}

bool same(const JobState& a, const JobState& b) {
    return a.phase == b.phase && a.why == b.why && a.next_start == b.next_start && a.period == b.period && a.due == b.due && a.attempts == b.attempts &&
           a.retry_at == b.retry_at && a.run_started == b.run_started && a.attempt_started == b.attempt_started && a.ran == b.ran &&
           a.buffered == b.buffered && a.cancelled == b.cancelled && a.suspended == b.suspended && a.served_until == b.served_until &&
           a.asked == b.asked && a.run_asked == b.run_asked && a.user_paused == b.user_paused && a.last_end == b.last_end &&
           a.last_failed == b.last_failed && a.last_generation == b.last_generation && a.over_budget == b.over_budget;
}

}  // namespace

Result<std::vector<Decision>> Daemon::decide_now(Instant when) {
    outlooks_->refresh(config_, when);
    auto average = outlooks_->average(), marginal = outlooks_->marginal();
    costs_.add_power(average, when);
    costs_.add_power(marginal, when);
    auto used = TRY(store_.used(when));
    const auto expected = costs_.expected(config_, states_, measures_, used, when);
    auto decisions = decide(World{config_, states_, average, marginal, measures_, expected.money, std::move(used), when, seed_});
    say_unknown(decisions, expected);
    return decisions;
}

// Once for each deadline.
void Daemon::tell_of_objective(Change& change, const Decision& decision, Instant deadline, Instant when) {
    auto tell = [&](std::map<std::string, Instant>& told, const char* kind) {
        if (told[decision.job] == deadline) return;
        told[decision.job] = deadline;
        change.events.push_back(event(when, kind, decision.job, Json{{"deadline", instant_text(deadline)}, {"why", decision.explanation}}));
    };
    if (decision.at_risk) tell(at_risk_, "rpo.at_risk");
    if (deadline < when) tell(missed_, "rpo.missed");
}

// Once a month, which is kept with the job's state.
void Daemon::tell_of_budget(Change& change, const Decision& decision, JobState& state, Instant when) {
    bool warned = std::ranges::any_of(decision.notes, [](const std::string& note) { return note.starts_with("over budget: "); });
    if (decision.cause != Cause::budget && !warned) return;
    std::string month = instant_text(when).substr(0, 7);
    if (state.over_budget == month) return;
    state.over_budget = std::move(month);
    std::string why = decision.explanation;
    for (const std::string& note : decision.notes) why += "; " + note;
    change.events.push_back(event(when, "budget.exceeded", decision.job, Json{{"why", why}}));
}

// True where something was begun or ended, so that it is to be decided anew.
Result<bool> Daemon::step(Instant when) {
    auto decisions = TRY(decide_now(when));
    Change change;
    std::map<std::string, uint64_t> ended_before;  // attempts of the runs that begin
    // What was said is said once it is written.
    auto noted = noted_;
    auto at_risk = at_risk_, missed = missed_;
    auto counted = counters_.decisions;
    auto unsaid = [&](Error error) -> Result<bool> {
        noted_ = std::move(noted);
        at_risk_ = std::move(at_risk);
        missed_ = std::move(missed);
        counters_.decisions = counted;
        return tl::unexpected(std::move(error));
    };
    for (const Decision& decision : decisions) {
        const JobState& state = states_.at(decision.job);
        JobState next = after_decision(state, decision, when);
        tell_of_budget(change, decision, next, when);
        if (!same(state, next)) change.states.push_back(next);
        if (std::string note = note_of(decision); noted_[decision.job] != note) {
            noted_[decision.job] = note;
            change.decisions.push_back(decision_row(decision, when, seed_));
            ++counters_.decisions;
        }
        for (Instant skipped : decision.skipped)
            change.events.push_back(event(when, "run.skipped", decision.job, Json{{"due", instant_text(skipped)}}));
        if (auto rpo = find(decision.job)->rules.rpo) tell_of_objective(change, decision, state.last_point.value_or(state.since) + *rpo, when);
        if (decision.action != Action::run) continue;
        auto known = store_.run(decision.job, decision.period);
        if (!known) return unsaid(known.error());
        RunRow row = *known ? std::move(**known) : run_row(decision, when);
        row.phase = "running";
        row.attempts = next.attempts;
        if (!row.started_at) row.started_at = when;
        ended_before[decision.job] = row.stretches.size();
        change.runs.push_back(std::move(row));
        change.events.push_back(event(when, "run.started", decision.job,
                                      Json{{"period", decision.period}, {"attempt", next.attempts}, {"cause", cause_name(decision.cause)}, {"why", decision.explanation}}));
    }
    last_ = std::move(decisions);
    bool anything = !change.states.empty() || !change.decisions.empty() || !change.events.empty() || !change.runs.empty();
    if (anything)
        if (auto done = commit(change); !done) return unsaid(done.error());
    bool acted = false;
    for (const Decision& decision : last_) {
        auto running = running_.find(decision.job);
        if (decision.action == Action::run && running == running_.end()) {
            start(decision, ended_before[decision.job]);
            acted = true;
        }
        if (decision.action == Action::go_on && running != running_.end()) running->second.attempt->limit_rate(decision.bandwidth_bytes_per_second);
        if ((decision.action == Action::suspend || decision.action == Action::cancel) && running != running_.end()) running->second.attempt->stop();
    }
    return acted;
}

void Daemon::start(const Decision& decision, uint64_t ended_before) {
    const Job& job = *find(decision.job);
    // Periods come again where a state folder is begun anew, which has another seed, and where an older one is put back: the moment does not.
    Instant begun = states_.at(job.name).run_started.value_or(now());
    std::string key = fmt::format("{} {}, begun {}, in state {:016x}", job.name, decision.period, instant_text(begun), seed_);
    AttemptWish wish{job, decision.period, std::move(key), options_.hyperctl, root_, logs_, notes_, ended_before, decision.bandwidth_bytes_per_second};
    auto ended = [this](AttemptReport report) {
        std::lock_guard lock(mutex_);
        ended_.push_back(std::move(report));
        changed_.notify_all();
    };
    ++counters_.attempts;
    auto attempt = Attempt::start(std::move(wish), ended);
    if (attempt) {
        running_[job.name] = {std::move(*attempt), job};
        return;
    }
    AttemptReport report;
    report.job = job.name;
    report.period = decision.period;
    report.end = {Outcome::failed, Failure::io, attempt.error().message, ""};
    report.from = report.until = now();
    ended_.push_back(std::move(report));
}

Result<void> Daemon::count(Change& change, RunRow& row, const Job& job, const AttemptReport& report) {
    row.moved_bytes += report.moved_bytes;
    row.changed_bytes += report.changed_bytes;
    row.seconds += report.seconds;
    row.stretches.push_back({report.from, report.until});
    TRY(charge(change, row, job, report));
    row.grams = row.grams_at_once = row.grams_foresight = std::nullopt;
    settle(row, job.rules.carbon, *outlooks_, now());
    return {};
}

// One that could not be started took no time, and used nothing.
Result<void> Daemon::charge(Change& change, RunRow& row, const Job& job, const AttemptReport& report) {
    row.currency = job.rules.cost.currency;
    if (report.moved_bytes == 0 && report.seconds == 0) return {};
    change.used_at = report.until;
    Use& use = change.used[report.job];
    use.sent_bytes = report.moved_bytes;
    use.api_calls = requests_of_sync(job, report.moved_bytes).value_or(0);
    auto add = [&](Money money) {
        use.money = use.money + money;
        row.money = row.money.value_or(Money{}) + money;
    };
    if (auto sync = costs_.of_sync(job, config_, report.moved_bytes, TRY(store_.used(report.until)), report.until)) add(*sync);
    auto energy = energy_of_run(job, report.moved_bytes, report.seconds);
    if (!energy) return {};
    row.energy = {row.energy.source + energy->source, row.energy.target + energy->target, row.energy.network + energy->network};
    if (auto power = costs_.of_power(job, *energy, report.from, std::max(report.until, report.from + Seconds(1)))) add(*power);
    return {};
}

// Its thread has ended, or is about to: what it had to say is here. False where that could not be written: then nothing has changed.
bool Daemon::finish(const AttemptReport& report) {
    auto running = running_.find(report.job);
    auto forget = [&] {
        if (running != running_.end()) running_.erase(running);
        return true;
    };
    const Job* in_force = find(report.job);
    if ((in_force == nullptr && running == running_.end()) || !states_.contains(report.job)) return forget();
    // As it was when it began, whatever the configuration says now.
    const Job& job = running == running_.end() ? *in_force : running->second.job;
    JobState state = states_.at(report.job);
    AttemptEnd end = report.end;
    if (report.stopped) end.outcome = state.cancelled ? Outcome::cancelled : Outcome::suspended;
    if (report.stopped) end.message = state.cancelled ? "it was cancelled" : stopping_ ? "hyperd was ended; it goes on at the next start" : "it was stopped, to go on later";
    auto decided = std::ranges::find(last_, report.job, &Decision::job);
    auto retry_by = decided == last_.end() ? std::vector<Instant>() : decided->retry_by;

    Change change;
    Instant when = now();
    JobState next = after_end(job, state, end, retry_by, when, seed_);
    change.states.push_back(next);
    auto found = store_.run(report.job, report.period);
    if (!found) {
        log_error("job {}: how its run ended could not be written, and is tried again: {}", report.job, found.error().message);
        return false;
    }
    RunRow row;
    if (*found) row = std::move(**found);
    row.job = report.job;
    row.period = report.period;
    row.phase = end.outcome == Outcome::success     ? "success"
                : end.outcome == Outcome::cancelled ? "cancelled"
                : next.suspended                           ? "suspended"
                : next.phase == Phase::retrying            ? "retrying"
                                                           : "failed";
    row.message = end.message;
    row.generation = end.generation;
    if (row.phase != "suspended" && row.phase != "retrying") row.ended_at = when;
    if (auto counted = count(change, row, job, report); !counted) {
        log_error("job {}: what its run used could not be written, and is tried again: {}", report.job, counted.error().message);
        return false;
    }
    change.runs.push_back(row);
    if (row.phase == "success" && report.moved_bytes > 0)
        change.measures.push_back({job.source, report.from, report.first || !state.last_point ? Seconds(0) : report.from - *state.last_point,
                                   report.changed_bytes, report.moved_bytes, report.seconds});
    change.events.push_back(event(when, kind_of(row), report.job,
                                  Json{{"period", row.period}, {"message", row.message}, {"generation", row.generation}, {"read_bytes", row.moved_bytes},
                                       {"changed_bytes", row.changed_bytes}, {"seconds", row.seconds}, {"money", row.money ? Json(money_text(*row.money)) : Json()}, {"currency", row.currency}}));
    if (auto done = commit(change); !done) {
        log_error("job {}: how its run ended could not be written, and is tried again: {}", report.job, done.error().message);
        return false;
    }
    uint64_t& count = row.phase == "success" ? counters_.succeeded : row.phase == "cancelled" ? counters_.cancelled : row.phase == "failed" ? counters_.failed : counters_.suspended;
    ++count;
    counters_.read_bytes += report.moved_bytes;
    if (row.grams) counters_.grams += row.grams->middle;
    return forget();
}

void Daemon::finish_ended() {
    auto reports = std::exchange(unwritten_, {});
    std::ranges::move(std::exchange(ended_, {}), std::back_inserter(reports));
    for (AttemptReport& report : reports)
        if (!finish(report)) unwritten_.push_back(std::move(report));
}

void Daemon::settle_some(Instant when) {
    if (when < settle_at_) return;
    settle_at_ = when + settle_every;
    Change change;
    auto rows = store_.runs("", settled_max);
    if (!rows) return;
    for (RunRow& row : *rows) {
        const Job* job = find(row.job);
        if (job == nullptr || !row.ended_at || (row.grams && row.grams_foresight)) continue;
        if (settle(row, job->rules.carbon, *outlooks_, when)) change.runs.push_back(std::move(row));
    }
    if (!change.runs.empty())
        if (auto done = commit(change); !done) log_warning("{}", done.error().message);
    if (auto pruned = store_.prune(when - kept_for); !pruned) log_warning("{}", pruned.error().message);
}

// Those that run are interrupted, all at once, and waited for.
void Daemon::end_attempts(std::unique_lock<std::mutex>& lock) {
    for (auto& entry : running_) entry.second.attempt->stop();
    std::ranges::move(std::exchange(unwritten_, {}), std::back_inserter(ended_));
    while (!running_.empty()) {
        changed_.wait(lock, [&] { return !ended_.empty(); });
        for (const AttemptReport& report : std::exchange(ended_, {}))
            if (!finish(report)) running_.erase(report.job);  // the next start takes it up as interrupted
    }
}

void Daemon::loop() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        woken_ = false;
        finish_ended();
        Instant when = now();
        settle_some(when);
        auto acted = step(when);
        Instant wake = when + sleep_max;
        if (!acted) {
            // Nothing was done that is not written down; a full disk may have room again soon.
            log_error("nothing can be decided: {}", acted.error().message);
            wake = when + Seconds(10);
        } else if (*acted) {
            wake = when + Seconds(1);
        } else if (auto next = next_wake(last_, when)) {
            wake = std::clamp(*next, when + Seconds(1), wake);
        }
        if (!unwritten_.empty()) wake = std::min(wake, when + Seconds(10));
        changed_.wait_until(lock, wake, [&] { return stopping_ || woken_ || !ended_.empty(); });
    }
    end_attempts(lock);
}

}  // namespace hyper::hyperd
