// SPDX-License-Identifier: Apache-2.0
#include "scheduler/decide.h"

#include <algorithm>
#include <cmath>

#include "scheduler/due.h"
#include "scheduler/planner/seed.h"
#include "scheduler/room.h"
#include "scheduler/run_weights.h"

namespace hyper::scheduler {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

// Nothing is planned farther ahead; what is due later is looked at again by then.
constexpr Seconds look_ahead = hours(8 * 24);
// A pause that is shorter is not worth stopping for.
constexpr Seconds pause_min = minutes(15);
// Of the weight of running at once.
constexpr double as_good_within = 0.005;
// Beyond the last deadline, so that runs which end just there have room.
constexpr Seconds room_margin = hours(1);

Instant next_month(Instant now) {
    std::chrono::year_month_day day(std::chrono::floor<std::chrono::days>(now));
    return std::chrono::sys_days((day.year() / day.month() + std::chrono::months(1)) / 1);
}

// What a retry may take besides the run: all waits at their bounds, and the run once more; a quarter of the objective at most.
Seconds retry_guard(const Retry& retry, Seconds length_p95, Seconds rpo) {
    if (retry.max == 0) return Seconds(0);
    double sum = 0, bound = double(retry.initial.count());
    for (unsigned i = 0; i < std::min(retry.max, 1000u) && sum < 1e9; i++) {
        sum += std::min(bound, double(retry.cap.count()));
        bound = std::min(bound * retry.factor, 1e9);
    }
    return std::min(Seconds(static_cast<int64_t>(sum)) + length_p95 + retry.give_up_before_deadline, rpo / 4);
}

template <class T>
void lower(std::optional<T>& least, const T& value) {
    if (!least || value < *least) least = value;
}

// A job on its way to a decision.
struct Open {
    const Job* job = nullptr;
    const JobState* state = nullptr;
    Decision decision;
    Due due;
    Seconds left{};                   // of the run, as expected
    Seconds whole{}, slow{};          // the same, and of a slow run, where nothing of what stopped attempts did is found again: many sources are read anew
    std::optional<Instant> hard_end;  // by the rpo of `objective_of`
    std::optional<Instant> hard_start;
    const Job* objective_of = nullptr;  // this job, or one that waits for it, be it by way of others
    std::optional<Instant> wanted_by;   // the least last start of those that wait for a new run of it
    const Job* wanted_for = nullptr;    // whose objective that is
    size_t waiting = 0;                 // jobs that come after it, and are still to be asked what they want of it
    std::optional<Instant> soft_end;  // by the period
    bool forced = false, asked = false;
    bool own_forced = false;  // by its own rpo
    bool wants = false;  // to be planned
};

class Decider {
  public:
    explicit Decider(const World& world) : world_(world), now_(world.now) {}

    std::vector<Decision> decide() {
        for (const auto& entry : world_.config.jobs) {
            auto state = world_.states.find(entry.first);
            if (state != world_.states.end()) {
                add(entry.second, state->second);
                continue;
            }
            JobState& fresh = fresh_[entry.first];
            fresh.job = entry.first, fresh.since = now_;
            add(entry.second, fresh);
        }
        want_dependencies();
        for (Open& open : jobs_) look_at(open);
        plan_all();
        share_bandwidth();
        std::vector<Decision> decisions;
        for (Open& open : jobs_) decisions.push_back(std::move(open.decision));
        return decisions;
    }

  private:
    void measure(Open& open) {
        static const std::vector<SyncMeasure> none;
        const Job& job = *open.job;
        const JobState& state = *open.state;
        auto found = world_.measures.find(job.source);
        const auto& measures = found == world_.measures.end() ? none : found->second;
        const uint64_t rate = least_rate_of(job);
        const bool first = !state.last_point;
        auto since = [&](Instant at) { return first ? Seconds(0) : std::max(Seconds(1), at - *state.last_point); };
        SyncSize& size = open.decision.size;
        size = estimate_sync(measures, since(std::max(now_, open.due.earliest)), rate);
        const std::optional<Seconds> rpo = job.rules.rpo;
        if (!size.measured && rpo) {
            // It may be anything, so half of the objective is kept for it.
            size.length = std::min(size.length, *rpo / 8);
            size.length_p95 = *rpo / 2;
        }
        if (size.measured && rpo && !first) size.length_p95 = std::max(size.length_p95, estimate_sync(measures, *rpo, rate).length_p95);
        size.length = std::max(size.length, Seconds(1));
        size.length_p95 = std::max(size.length_p95, size.length);
        const Seconds runs_for = state.phase == Phase::running ? now_ - state.attempt_started.value_or(now_) : Seconds(0);
        const Seconds least = std::max(Seconds(1), size.length / 20);
        open.left = std::max(size.length - state.ran - runs_for, least);
        open.whole = std::max(size.length - runs_for, least);
        open.slow = std::max(size.length_p95 - runs_for, open.whole);
        open.decision.bandwidth_bytes_per_second = rate_of(job);
        auto restore = job.rules.rto ? estimate_restore(measures) : std::nullopt;
        if (restore && restore->length > *job.rules.rto)
            open.decision.notes.push_back(fmt::format("to restore all {:.1f} GB takes {} at the rate of its syncs, longer than the rto of {}", double(restore->bytes) / 1e9,
                                                      duration_text(restore->length), duration_text(*job.rules.rto)));
    }

    static uint64_t least(uint64_t one, uint64_t other) { return one == 0 ? other : other == 0 ? one : std::min(one, other); }
    uint64_t rate_of(const Job& job) const { return bandwidth_at(job.rules.limits.bandwidth, job.rules.timezone, now_); }
    uint64_t rate_of_all() const { return bandwidth_at(world_.config.limits.bandwidth, world_.config.limits.timezone, now_); }

    // What is left for it when as many run as may.
    uint64_t least_rate_of(const Job& job) const {
        uint64_t all = rate_of_all();
        if (all == 0) return rate_of(job);
        size_t places = world_.config.jobs.size();
        if (world_.config.limits.runs > 0) places = std::min<size_t>(places, world_.config.limits.runs);
        return least(rate_of(job), std::max<uint64_t>(1, all / std::max<size_t>(places, 1)));
    }

    // What all may take is divided among those that run; who has a lower limit of its own leaves the rest to the others.
    void share_bandwidth() {
        uint64_t left = rate_of_all();
        if (left == 0) return;
        std::vector<uint64_t*> rates;
        for (Open& open : jobs_)
            if (open.decision.action == Action::run || open.decision.action == Action::go_on) rates.push_back(&open.decision.bandwidth_bytes_per_second);
        std::ranges::sort(rates, {}, [](const uint64_t* rate) { return *rate == 0 ? UINT64_MAX : *rate; });
        for (size_t i = 0; i < rates.size(); i++) {
            *rates[i] = least(*rates[i], std::max<uint64_t>(1, left / (rates.size() - i)));
            left -= std::min(left, *rates[i]);
        }
    }

    // Only where there is an rpo.
    static Instant own_end(const Open& open) { return open.state->last_point.value_or(open.state->since) + *open.job->rules.rpo; }

    // A run is to be whole by `end`, or that objective is missed.
    void want_by(Open& open, Instant end, const Job& objective_of) const {
        Decision& decision = open.decision;
        const Seconds rpo = *objective_of.rules.rpo;
        const SyncSize& size = decision.size;
        const Seconds guard = retry_guard(open.job->rules.retry, size.length_p95, rpo);
        Instant start = end - guard - open.slow;
        // An attempt that fails is counted for nothing, so the next one is as long as this one was.
        for (Instant by : {end - guard - size.length_p95, end - size.length_p95, end - size.length}) decision.retry_by.push_back(by);
        std::ranges::sort(decision.retry_by);
        if (open.state->last_end && open.state->attempts == 0) start = std::max(start, rested(open, rpo));
        if (open.hard_start && *open.hard_start <= start) return;
        open.hard_end = end, open.hard_start = start, open.objective_of = &objective_of;
        open.forced = now_ >= start;
        lower(decision.deadline, end);
        lower(decision.last_start, start);
    }

    void find_deadlines(Open& open) {
        const Job& job = *open.job;
        if (job.rules.rpo) want_by(open, own_end(open), job);
        open.own_forced = open.forced;
        open.soft_end = open.due.period_end;
        if (open.soft_end) open.decision.retry_by.push_back(*open.soft_end - open.decision.size.length);
        std::ranges::sort(open.decision.retry_by);
        if (open.soft_end) lower(open.decision.deadline, *open.soft_end);
        // A period's end is worth no guard: nothing is lost but its punctuality.
        if (open.soft_end) lower(open.decision.last_start, *open.soft_end - open.left);
        open.decision.at_risk = job.rules.rpo && now_ + open.whole > own_end(open);
    }

    Open* find_open(const std::string& name) {
        auto found = std::ranges::lower_bound(jobs_, name, {}, [](const Open& open) -> const std::string& { return open.decision.job; });
        return found == jobs_.end() || found->decision.job != name ? nullptr : &*found;
    }

    // From the last that wait back to what they wait for: a job ends by the last start of each that wants a new run of it for an objective.
    void want_dependencies() {
        for (Open& open : jobs_)
            for (const After& after : open.job->rules.after)
                if (Open* before = find_open(after.job)) before->waiting++;
        std::vector<Open*> ready;
        for (Open& open : jobs_)
            if (!open.job->rules.after.empty() && open.waiting == 0) ready.push_back(&open);
        while (!ready.empty()) {
            Open& open = *ready.back();
            ready.pop_back();
            if (open.wanted_by) want_by(open, *open.wanted_by, *open.wanted_for);
            for (const After& after : open.job->rules.after) {
                Open* before = find_open(after.job);
                if (!before) continue;
                if (wants_new(open, after) && runs_by_itself(*before) && (!before->wanted_by || *open.hard_start < *before->wanted_by))
                    before->wanted_by = open.hard_start, before->wanted_for = open.objective_of;
                if (--before->waiting == 0) ready.push_back(before);
            }
        }
    }

    // A failure can't be made, so a job that comes after one wants nothing.
    bool wants_new(const Open& open, const After& after) const {
        const bool may_start = open.state->phase != Phase::running && !open.job->paused && !open.state->user_paused;
        return open.hard_start && may_start && after.on != AfterOutcome::failure && !dependency_met(after, *open.state, world_.states, now_);
    }

    // What only users start is not started for another job.
    static bool runs_by_itself(const Open& open) {
        const Policy& rules = open.job->rules;
        return rules.rpo || !rules.every.text.empty() || !rules.after.empty();
    }

    // Runs do not follow one another without a breath, nor one that failed too often, or was cancelled, at once; but that rest
    // does not go past the last moments at which a run can be whole in time.
    Instant rested(const Open& open, Seconds rpo) const {
        const Policy& rules = open.job->rules;
        Instant breath = *open.state->last_end + std::min(Seconds(60), rpo / 50);
        if (!open.state->last_failed) return breath;
        Instant rest = *open.state->last_end + rules.retry.cap;
        auto last = std::ranges::upper_bound(open.decision.retry_by, breath);
        return last == open.decision.retry_by.end() ? rest : std::min(rest, *last);
    }

    void add(const Job& job, const JobState& state) {
        Open open;
        open.job = &job, open.state = &state;
        open.decision.job = job.name;
        if (state.phase == Phase::running) {
            open.due = find_overlap(job, state, now_);
            open.due.earliest = now_;
        } else {
            open.due = find_due(job, state, world_.states, now_);
        }
        measure(open);
        find_deadlines(open);
        jobs_.push_back(std::move(open));
    }

    void look_at(Open& open) {
        if (open.state->phase == Phase::running)
            look_at_running(open);
        else
            look_at_waiting(open);
    }

    static std::string objective(const Open& open) {
        return open.objective_of == open.job ? "the rpo" : fmt::format("the rpo of job {}, which waits for it,", open.objective_of->name);
    }

    void look_at_running(Open& open) {
        const JobState& state = *open.state;
        Decision& decision = open.decision;
        decision.period = state.period;
        decision.due = state.due.value_or(now_);
        decision.skipped = open.due.skipped, decision.served_until = open.due.served_until, decision.buffered = open.due.buffered;
        decision.at = open.due.next;
        if (state.cancelled || open.due.replace) {
            decision.action = Action::cancel;
            decision.cause = state.cancelled ? Cause::cancelled : Cause::replaced;
            decision.explanation = state.cancelled ? "it was cancelled" : "it is due again while it runs, and overlap = replace";
            return;
        }
        if (open.job->paused || state.user_paused) {
            decision.action = Action::suspend;
            decision.cause = Cause::user_paused;
            decision.at.reset();
            decision.explanation = "the job was paused; the run goes on when it is resumed";
            return;
        }
        decision.action = Action::go_on;
        decision.cause = Cause::due;
        decision.explanation = "it runs";
        wake_for_bandwidth(open);
        if (period_is_asked(state.period)) return;
        if (window_closed(open)) {
            auto opens = open.job->rules.windows->next_open(now_);
            if (open.job->rules.on_close == OnClose::finish)
                decision.explanation = "it runs; its window has closed, and on_close = finish";
            else if (open.hard_start && (!opens || *opens > *open.hard_start))
                decision.explanation = "it runs; its window has closed, but to wait for the next one would break the rpo", decision.cause = Cause::deadline;
            else
                suspend(open, Cause::window, opens, opens ? fmt::format("its window has closed; it goes on at {}", instant_text(*opens)) : "its window has closed for good");
            return;
        }
        if (open.job->rules.windows)
            if (auto closes = open.job->rules.windows->next_change(now_, std::chrono::days(30))) lower(decision.at, *closes);
        if (open.job->rules.carbon.interrupt && !open.forced) pause_while_dirty(open);
    }

    void wake_for_bandwidth(Open& open) const {
        const Policy& rules = open.job->rules;
        const GlobalLimits& all = world_.config.limits;
        for (auto change : {bandwidth_change(rules.limits.bandwidth, rules.timezone, now_), bandwidth_change(all.bandwidth, all.timezone, now_)})
            if (change) lower(open.decision.at, *change);
    }

    static bool period_is_asked(const std::string& period) { return period.starts_with("asked "); }

    void suspend(Open& open, Cause cause, std::optional<Instant> until, std::string explanation) {
        open.decision.action = Action::suspend;
        open.decision.cause = cause;
        open.decision.at = until;
        open.decision.explanation = std::move(explanation);
    }

    bool window_closed(const Open& open) const { return open.job->rules.windows && !open.job->rules.windows->open(now_); }

    void pause_while_dirty(Open& open) {
        RunWeights runs(*open.job, world_, open.decision.size.bytes, open.decision.size.length);
        Task task = task_of(open, now_);
        task.interruptible = true;
        task.gain_min = std::max(task.gain_min, 0.05);
        Weights weights = runs.weigh(task.latest_end);
        if (weights.size() == 0) return;
        // Its own place stays free for it; only windows matter.
        const GlobalLimits no_limits;
        Capacity open_times = Room(no_limits, now_, task.latest_end + room_margin).left_to(*open.job);
        // What is left of a window that closes within this step is used: pieces are made of whole steps.
        Instant step_end = weights.start() + weights.step() * ((now_ - weights.start()) / weights.step() + 1);
        if (!open_times.fits(now_, step_end)) return;
        Plan made = scheduler::plan(task, weights, &open_times);
        if (made.reason != Reason::lightest) return;
        Instant begins = made.runs[0].from;
        if (begins <= now_ && made.runs[0].until < now_ + open.left) lower(open.decision.at, made.runs[0].until);
        if (begins < now_ + pause_min) return;
        open.decision.issues = runs.issues();
        suspend(open, Cause::planned, begins, fmt::format("the grid is dirtier than it will be; the run goes on at {}", instant_text(begins)));
    }

    void look_at_waiting(Open& open) {
        const Job& job = *open.job;
        const JobState& state = *open.state;
        Decision& decision = open.decision;
        open.asked = state.run_asked && state.period.empty();
        decision.skipped = open.due.skipped, decision.served_until = open.due.served_until;
        decision.period = open.due.period, decision.due = open.due.due;
        if (job.paused || state.user_paused) {
            // The period is kept as it was.
            decision.served_until.reset(), decision.skipped.clear();
            decision.period = state.period;
            return wait(open, Cause::user_paused, std::nullopt, "the job is paused");
        }
        if (state.run_asked) {
            open.wants = true;
            if (open.asked) {
                decision.period = fmt::format("asked {}", state.asked), decision.due = now_;
                decision.skipped.clear(), decision.served_until.reset();
            }
            open.asked = true;
            return;
        }
        if (state.phase == Phase::retrying && state.retry_at && now_ < *state.retry_at)
            return wait(open, Cause::retry, state.retry_at, fmt::format("attempt {} failed; it is tried again at {}", state.attempts, instant_text(*state.retry_at)));
        if (!open.due.waits_for.empty()) {
            if (open.due.period.empty() && open.due.next && !open.forced) return not_due(open, open.due.next);
            return wait(open, Cause::dependency, std::nullopt, fmt::format("waits for {}", open.due.waits_for));
        }
        if (open.forced) {
            open.wants = true;
            draw_forward(open);
            return;
        }
        if (open.due.period.empty()) {
            if (!open.due.next && !open.hard_start) {
                decision.action = Action::none;
                decision.cause = Cause::nothing;
                decision.explanation = "nothing will make it run: its calendar names no more times, and it has no rpo";
                if (job.rules.every.text.empty()) decision.explanation = "it runs only when it is asked to: it has neither rpo, every nor after";
                return;
            }
            return not_due(open, open.due.next);
        }
        if (over_budget(open)) return;
        open.wants = true;
    }

    void not_due(Open& open, std::optional<Instant> next) {
        std::string text = next ? fmt::format("due at {}", instant_text(*next)) : "not due";
        if (open.hard_start && (!next || *open.hard_start < *next)) {
            text += fmt::format("; {} wants it at {}", objective(open), instant_text(*open.hard_start));
            next = *open.hard_start;
        }
        wait(open, Cause::not_due, next, text);
    }

    // The objective wants a run before one is due.
    void draw_forward(Open& open) {
        Decision& decision = open.decision;
        if (!open.due.period.empty()) return;
        // A time of the calendar that comes before the objective ends is served by it; else it is one more run.
        if (open.due.next && open.hard_end && *open.due.next <= *open.hard_end) {
            decision.period = instant_text(*open.due.next);
            decision.due = *open.due.next;
            decision.served_until = *open.due.next;
            decision.notes.push_back(fmt::format("drawn forward from {}: a run that begins then would not be whole in time", instant_text(decision.due)));
            return;
        }
        Instant base = open.state->last_point.value_or(open.state->since);
        if (open.state->last_end) base = std::max(base, *open.state->last_end);
        decision.period = "rpo " + instant_text(base);
        decision.due = now_;
        if (open.due.next) decision.notes.push_back("a run besides the calendar's, for the rpo");
    }

    void wait(Open& open, Cause cause, std::optional<Instant> at, std::string explanation) {
        Decision& decision = open.decision;
        decision.action = Action::wait;
        decision.cause = cause;
        decision.at = at;
        decision.explanation = std::move(explanation);
        bool holds = cause == Cause::user_paused || cause == Cause::dependency;
        if (holds && open.own_forced) {
            decision.at_risk = true;
            decision.explanation += "; meanwhile the rpo cannot be kept";
        }
        // To look again when the objective makes it urgent.
        if (holds && open.hard_start && !open.forced) lower(decision.at, *open.hard_start);
    }

    struct Exceeded {
        std::string text;
        OnExceed then;
    };

    // What of this month's requests or money is used up.
    std::optional<Exceeded> exceeded(const Open& open) const {
        const Job& job = *open.job;
        auto calls = world_.used.api_calls.find(job.name);
        uint64_t used_calls = calls == world_.used.api_calls.end() ? 0 : calls->second, all_calls = 0;
        for (const auto& entry : world_.used.api_calls) all_calls += entry.second;
        uint64_t own_max = job.rules.limits.api_calls.per_month, all_max = world_.config.limits.api_calls.per_month;
        if ((own_max > 0 && used_calls >= own_max) || (all_max > 0 && all_calls >= all_max)) {
            bool own = own_max > 0 && used_calls >= own_max;
            return Exceeded{fmt::format("{} of {} requests of this month are used up", own ? used_calls : all_calls, own ? own_max : all_max), OnExceed::stop};
        }
        if (!job.rules.cost.budget) return std::nullopt;
        const Budget& budget = *job.rules.cost.budget;
        auto cost = world_.costs.find(job.name), used = world_.used.money.find(job.name);
        Money spent = used == world_.used.money.end() ? Money{} : used->second, next = cost == world_.costs.end() ? Money{} : cost->second;
        if (auto power = RunWeights(job, world_, open.decision.size.bytes, open.decision.size.length).power_money(now_)) next = next + *power;
        if (spent + next <= budget.amount) return std::nullopt;
        return Exceeded{fmt::format("{} {} of this month's {} are spent, and the run would cost {}", money_text(spent), job.rules.cost.currency,
                                    money_text(budget.amount), money_text(next)),
                        budget.on_exceed};
    }

    bool over_budget(Open& open) {
        auto over = exceeded(open);
        if (!over) return false;
        Instant until = next_month(now_);
        const bool within = over->then == OnExceed::defer_within_rpo;
        if (within && !open.hard_start && open.decision.last_start) until = std::min(until, *open.decision.last_start);
        if (over->then != OnExceed::warn && !(within && until <= now_)) return defer(open, until, over->text);
        open.decision.notes.push_back("over budget: " + over->text);
        return false;
    }

    bool defer(Open& open, Instant until, const std::string& text) {
        if (open.hard_start) until = std::min(until, *open.hard_start);
        wait(open, Cause::budget, until, fmt::format("{}; waits until {}", text, instant_text(until)));
        return true;
    }

    Task task_of(const Open& open, Instant earliest) const {
        Task task;
        task.length = open.left;
        task.earliest = std::max(now_, earliest);
        // The guard is in the last start already.
        task.latest_end = open.decision.last_start.value_or(task.earliest) + task.length;
        task.latest_end = std::min(task.latest_end, now_ + look_ahead);
        task.interruptible = open.job->rules.carbon.interrupt;
        task.gain_min = open.job->rules.carbon.min_gain;
        task.seed = mix(world_.seed ^ hash_text(open.job->name) ^ mix(hash_text(open.decision.period)));
        return task;
    }

    void plan_all() {
        std::vector<Open*> order;
        for (Open& open : jobs_)
            if (open.wants) order.push_back(&open);
        // What is forced takes its place first, then who is asked for, then by priority, then by who has the least time.
        auto rank = [](const Open* open) { return open->forced ? 0 : open->asked ? 1 : 2; };
        std::stable_sort(order.begin(), order.end(), [&](const Open* a, const Open* b) {
            if (rank(a) != rank(b)) return rank(a) < rank(b);
            if (a->job->rules.priority != b->job->rules.priority) return a->job->rules.priority > b->job->rules.priority;
            Instant latest = Instant::max();
            return a->decision.last_start.value_or(latest) < b->decision.last_start.value_or(latest);
        });
        Instant horizon = now_ + room_margin;
        for (const Open* open : order) {
            Task task = task_of(*open, open->due.earliest);
            horizon = std::max(horizon, std::min(std::max(task.latest_end, task.earliest + task.length) + room_margin, now_ + look_ahead));
        }
        Room room(world_.config.limits, now_, horizon);
        for (const Open& open : jobs_)
            if (open.decision.action == Action::go_on) room.take(*open.job, now_, now_ + open.left);
        for (Open* open : order) plan_one(*open, room);
    }

    void plan_one(Open& open, Room& room) {
        const Job& job = *open.job;
        Decision& decision = open.decision;
        RunWeights runs(job, world_, decision.size.bytes, open.left);
        decision.issues = runs.issues();
        for (std::string& note : runs.notes()) decision.notes.push_back(std::move(note));
        Instant run_at = now_;
        if (open.forced) {
            const std::string whose = open.objective_of == open.job ? "" : fmt::format(" for {}", objective(open));
            const std::string by = instant_text(*open.hard_end);
            start(open, Cause::deadline, fmt::format("no time is left to wait: to be whole by {}{} it must run now", by, whose));
            if (window_closed(open)) decision.notes.push_back("its window is closed, but the rpo comes first");
            if (!room.limits_fit(job, now_, now_ + open.left)) decision.notes.push_back("more run than limits allow, but the rpo comes first");
            if (auto over = exceeded(open)) decision.notes.push_back("over budget: " + over->text);
            if (decision.at_risk)
                decision.notes.push_back(fmt::format("the rpo was, or will be, missed: it ends at {}", instant_text(own_end(open))));
        } else if (open.asked) {
            if (room.limits_fit(job, now_, now_ + Seconds(1)))
                start(open, Cause::asked, "a user asked for it");
            else
                wait(open, Cause::limit, open.hard_start, "a user asked for it; waits until fewer run");
        } else {
            run_at = choose(open, room, runs);
        }
        if (decision.action == Action::run || run_at > now_) room.take(job, run_at, run_at + open.left);
        add_alternatives(open, runs, run_at);
    }

    void start(Open& open, Cause cause, std::string explanation) {
        open.decision.action = Action::run;
        open.decision.cause = cause;
        open.decision.at = now_;
        open.decision.explanation = std::move(explanation);
    }

    // When a job runs that nothing forces.
    Instant choose(Open& open, const Room& room, const RunWeights& runs) {
        Task task = task_of(open, open.due.earliest);
        Capacity left = room.left_to(*open.job);
        Weights weights = runs.weigh(task.latest_end);
        Instant begins = task.earliest;
        Reason reason = Reason::no_outlook;
        if (weights.size() > 0) {
            Plan made = scheduler::plan(task, weights, &left);
            begins = made.runs[0].from, reason = made.reason;
            if (reason == Reason::lightest && still_good(open, task, weights, left, made)) begins = *open.state->next_start;
        }
        bool unknown = reason == Reason::no_outlook || reason == Reason::no_capacity;
        if (unknown) begins = room.first_fit(left, task.earliest, task.length).value_or(task.earliest);
        if (begins <= now_ && (window_closed(open) || !room.limits_fit(*open.job, now_, now_ + Seconds(1)))) return wait_for_room(open, room);
        // A window that is shorter than the run is used all the same.
        if (open.hard_start) begins = std::min(begins, std::max(now_, *open.hard_start));
        if (begins <= now_) {
            start(open, Cause::due, start_text(reason));
            return now_;
        }
        bool for_weight = reason == Reason::lightest || reason == Reason::gain_too_small || reason == Reason::now_is_best;
        if (task.earliest > now_ && begins == task.earliest)
            wait(open, Cause::due, begins, fmt::format("may begin at {}", instant_text(begins)));
        else if (window_closed(open) && !for_weight)
            wait(open, Cause::window, begins, fmt::format("its window is closed; runs at {}", instant_text(begins)));
        else if (for_weight)
            wait(open, Cause::planned, begins, fmt::format("{}: {}", reason_text(Reason::lightest), instant_text(begins)));
        else
            wait(open, Cause::limit, begins, fmt::format("too many run; planned for {}", instant_text(begins)));
        return begins;
    }

    // A start that was planned before is kept while it is as good, though the seed would choose another one now.
    bool still_good(const Open& open, const Task& task, const Weights& weights, const Capacity& left, const Plan& made) const {
        if (open.state->period != open.decision.period || !open.state->next_start || made.runs.size() != 1) return false;
        Instant from = *open.state->next_start, until = from + task.length;
        if (from < task.earliest || from > last_start(task) || !weights.known(from, until) || !left.fits(from, until)) return false;
        return weights.of(from, until) <= made.weight + as_good_within * std::abs(made.weight_now);
    }

    static std::string start_text(Reason reason) {
        switch (reason) {
            case Reason::now_is_best:
            case Reason::gain_too_small:
                return fmt::format("due, and {}", reason_text(reason));
            case Reason::deadline:
                return "due, and its period leaves no time to wait";
            case Reason::lightest:
                return "due, and now is the lightest start";
            case Reason::no_outlook:
            case Reason::no_capacity:
            case Reason::no_window:
                break;
        }
        return "due, and nothing is known that would make another time better";
    }

    // It would run now, but may not.
    Instant wait_for_room(Open& open, const Room& room) {
        std::optional<Instant> at;
        Cause cause = Cause::limit;
        std::string text = "waits until fewer run";
        if (window_closed(open)) {
            cause = Cause::window;
            at = open.job->rules.windows->next_open(now_);
            text = at ? fmt::format("its window opens at {}", instant_text(*at)) : "its window never opens";
        } else {
            // Whoever runs may take longer or shorter than expected; the end of a run is looked at anyhow.
            at = now_ + room.step();
        }
        if (open.hard_start) lower(at, *open.hard_start);
        wait(open, cause, at, text);
        return at.value_or(now_ + look_ahead);
    }

    void add_alternatives(Open& open, const RunWeights& runs, Instant chosen) {
        Decision& decision = open.decision;
        const Job& job = *open.job;
        auto cost = world_.costs.find(job.name);
        auto add = [&](const char* what, Instant at) {
            for (const Alternative& one : decision.alternatives)
                if (one.start == at) return;
            Alternative made{what, at, runs.grams(at), runs.power_money(at), job.rules.cost.currency};
            if (cost != world_.costs.end()) made.money = made.money.value_or(Money{}) + cost->second;
            decision.alternatives.push_back(std::move(made));
        };
        add("now", now_);
        if (chosen > now_) add("planned", chosen);
        if (decision.last_start && *decision.last_start > now_) add("last moment", *decision.last_start);
    }

    const World& world_;
    Instant now_;
    std::vector<Open> jobs_;
    std::map<std::string, JobState> fresh_;
};

}  // namespace

std::vector<Decision> decide(const World& world) {
    return Decider(world).decide();
}

}  // namespace hyper::scheduler
