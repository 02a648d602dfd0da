// SPDX-License-Identifier: Apache-2.0
#include "scheduler/simulate.h"

#include <algorithm>
#include <cerrno>
#include <cmath>

#include "carbon/outlook.h"
#include "scheduler/planner/seed.h"
#include "scheduler/run_weights.h"

namespace hyper::scheduler {
namespace {

using std::chrono::hours;

// What a sync moves a second; only energy follows from it.
constexpr double bytes_per_second = 100e6;
constexpr Seconds outlook_reach = hours(96);
// Two decisions that lie closer bring nothing, and a fault in them shall end.
constexpr Seconds step_min{1};

// What decide() is told of each zone that a job draws from, hour by hour.
class Outlooks {
  public:
    Outlooks(const Config& config, const Trace& trace) : trace_(trace) {
        for (const auto& entry : config.jobs)
            for (const std::string& zone : {entry.second.rules.carbon.source_grid, entry.second.rules.carbon.target_grid})
                if (trace.measured.contains(zone) || trace.prices.contains(zone)) zones_[zone];
    }

    void bring_up_to(Instant now) {
        Instant hour{now.time_since_epoch() / hours(1) * hours(1)};
        if (hour == hour_) return;
        hour_ = hour;
        for (auto& entry : zones_) {
            Zone& zone = entry.second;
            ZoneOutlook& told = told_[entry.first];
            if (auto prices = trace_.prices.find(entry.first); prices != trace_.prices.end())
                told.price_per_kwh = prices->second.per_kwh, told.price_currency = prices->second.currency;
            auto measured = trace_.measured.find(entry.first);
            if (measured == trace_.measured.end()) continue;
            auto forecasts = trace_.forecasts.find(entry.first);
            told.issue = "profile";
            if (forecasts != trace_.forecasts.end()) {
                const auto& issues = forecasts->second;
                for (; zone.next_issue < issues.size() && issues[zone.next_issue].issued_at <= now; zone.next_issue++)
                    zone.maker.add_issue(issues[zone.next_issue].issued_at, issues[zone.next_issue].grams_per_kwh, measured->second);
                if (zone.next_issue > 0) told.issue = entry.first + " " + instant_text(issues[zone.next_issue - 1].issued_at);
            }
            told.grams_per_kwh = zone.maker.make(now, now + outlook_reach, measured->second).series;
        }
    }

    const std::map<std::string, ZoneOutlook>& told() const { return told_; }

  private:
    struct Zone {
        carbon::OutlookMaker maker;
        size_t next_issue = 0;
    };
    const Trace& trace_;
    std::optional<Instant> hour_;
    std::map<std::string, Zone> zones_;
    std::map<std::string, ZoneOutlook> told_;
};

class Simulation {
  public:
    Simulation(const Config& config, const Trace& trace, const SimulateOptions& options)
        : config_(config), options_(options), outlooks_(config, trace), measures_(options.measures) {
        for (const auto& entry : trace.measured) truth_[entry.first].grams_per_kwh = entry.second;
        for (const auto& [zone, price] : trace.prices) truth_[zone].price_per_kwh = price.per_kwh, truth_[zone].price_currency = price.currency;
        for (const auto& entry : config.jobs) {
            JobState& state = states_[entry.first];
            state.job = entry.first, state.since = options.from;
            made_.jobs[entry.first].currency = entry.second.rules.cost.currency;
        }
    }

    Simulated run() {
        Instant now = options_.from;
        while (now < options_.until) {
            if (const TimeRange* outage = outage_at(now)) {
                kill_all(now);
                now = outage->until;
                continue;
            }
            end_runs(now);
            auto wake = decide_at(now);
            Instant next = Instant(now.time_since_epoch() / hours(1) * hours(1) + hours(1));
            if (wake) next = std::min(next, *wake);
            for (const auto& entry : running_) next = std::min(next, entry.second.ends);
            for (const TimeRange& outage : options_.outages)
                if (outage.from > now) next = std::min(next, outage.from);
            now = std::max(next, now + step_min);
        }
        finish();
        return std::move(made_);
    }

  private:
    struct Running {
        Instant begun, ends;
        bool fails = false;
    };
    // A period that is served, from when it was first seen.
    struct Serving {
        std::string period, cause;
        Instant earliest{};
        std::optional<Instant> deadline;
        std::vector<TimeRange> stretches;
        Seconds length{}, since{};
        bool first = false;
    };

    const TimeRange* outage_at(Instant now) const {
        for (const TimeRange& outage : options_.outages)
            if (now >= outage.from && now < outage.until) return &outage;
        return nullptr;
    }

    double drawn(const std::string& job, const std::string& text, uint64_t what) const {
        uint64_t hash = mix(options_.seed ^ mix(what));
        for (char c : job + "\n" + text) hash = mix(hash ^ static_cast<unsigned char>(c));
        return double(hash >> 11) * 0x1p-53;
    }

    World world(const std::map<std::string, ZoneOutlook>& zones, Instant now) const {
        static const std::map<std::string, Money> no_costs;
        return World{config_, states_, zones, zones, measures_, no_costs, used_, now, options_.seed};
    }

    std::optional<Instant> decide_at(Instant now) {
        outlooks_.bring_up_to(now);
        auto month = std::chrono::year_month_day(std::chrono::floor<std::chrono::days>(now)).month();
        if (month != month_) used_ = {}, month_ = month;
        auto decisions = decide(world(outlooks_.told(), now));
        made_.decisions++;
        // What is ended here may let others begin.
        bool again = false;
        for (const Decision& decision : decisions) again = act(decision, now) || again;
        auto wake = next_wake(decisions, now);
        if (again) wake = now + step_min;
        return wake;
    }

    bool act(const Decision& decision, Instant now) {
        JobState& state = states_.at(decision.job);
        made_.jobs[decision.job].skipped += decision.skipped.size();
        retry_by_[decision.job] = decision.retry_by;
        see(decision, now);
        state = after_decision(std::move(state), decision, now);
        switch (decision.action) {
            case Action::run:
                begin(decision, now);
                return false;
            case Action::suspend:
                made_.jobs[decision.job].suspensions++;
                end(decision.job, {.outcome = Outcome::suspended}, now);
                return false;
            case Action::cancel:
                end(decision.job, {.outcome = Outcome::cancelled}, now);
                return true;
            case Action::wait:
            case Action::go_on:
            case Action::none:
                return false;
        }
        return false;
    }

    void see(const Decision& decision, Instant now) {
        bool serves = decision.action == Action::run || (decision.action == Action::wait && decision.cause != Cause::not_due && decision.cause != Cause::user_paused);
        Serving& serving = serving_[decision.job];
        if (!serves || decision.period.empty() || serving.period == decision.period) {
            // A later look knows better how large it is, and so does the deadline of a run that takes longer.
            return;
        }
        serving = {};
        serving.period = decision.period;
        serving.earliest = std::max(options_.from, std::max(decision.due, outlook_start(decision, now)));
        serving.deadline = decision.deadline;
    }

    // A run that is drawn forward begins before it is due.
    static Instant outlook_start(const Decision& decision, Instant now) {
        return decision.due > now && decision.action == Action::run ? now : decision.due;
    }

    void begin(const Decision& decision, Instant now) {
        const JobState& state = states_.at(decision.job);
        Serving& serving = serving_[decision.job];
        serving.earliest = std::min(serving.earliest, now);
        if (serving.length.count() == 0) {
            serving.first = !state.last_point;
            serving.since = state.last_point ? now - *state.last_point : Seconds(hours(24));
            double scale = (serving.first ? 4.0 : std::min(4.0, double(serving.since.count()) / 86400)) * (1 + options_.spread * (2 * drawn(decision.job, decision.period, 1) - 1));
            serving.length = std::max(Seconds(1), Seconds(std::llround(double(options_.length.count()) * scale)));
            serving.cause = cause_name(decision.cause);
        }
        Seconds done{};
        for (const TimeRange& stretch : serving.stretches) done += stretch.until - stretch.from;
        Seconds left = std::max(Seconds(1), serving.length - done);
        Running running{now, now + left};
        running.fails = drawn(decision.job, decision.period, 100 + state.attempts) < options_.failing;
        if (running.fails) running.ends = now + std::max(Seconds(1), left / 2);
        running_[decision.job] = running;
    }

    void end_runs(Instant now) {
        std::vector<std::string> ended;
        for (const auto& entry : running_)
            if (entry.second.ends <= now) ended.push_back(entry.first);
        for (const std::string& job : ended) {
            bool fails = running_.at(job).fails;
            end(job, fails ? AttemptEnd{Outcome::failed, Failure::unavailable, "simulated", ""} : AttemptEnd{.generation = "simulated"}, now);
        }
    }

    void kill_all(Instant now) {
        auto running = running_;
        for (const auto& entry : running) end(entry.first, {.outcome = Outcome::killed}, std::min(now, entry.second.ends));
    }

    void end(const std::string& name, const AttemptEnd& how, Instant now) {
        auto running = running_.find(name);
        if (running == running_.end()) return;
        const Job& job = config_.jobs.at(name);
        JobState& state = states_.at(name);
        Serving& serving = serving_[name];
        // A sync that failed, or was killed, begins again with what it had stored; here that counts for nothing.
        if (how.outcome == Outcome::success || how.outcome == Outcome::suspended)
            serving.stretches.push_back({running->second.begun, now});
        running_.erase(running);
        std::optional<Instant> point = state.last_point;
        unsigned attempts = state.attempts;
        state = after_end(job, std::move(state), how, retry_by_[name], now, options_.seed);
        if (how.outcome == Outcome::success) {
            measure(job, serving);
            count_miss(job, point, now);
        }
        if (state.period.empty()) settle_run(job, serving, attempts, how.outcome == Outcome::success);
    }

    void measure(const Job& job, const Serving& serving) {
        SyncMeasure measure;
        measure.source = job.source;
        measure.at = serving.stretches.front().from;
        measure.since = serving.first ? Seconds(0) : serving.since;
        measure.seconds = double(serving.length.count());
        measure.moved_bytes = measure.changed_bytes = bytes_of(serving);
        auto& list = measures_[job.source];
        list.push_back(measure);
        drop_unused(list);
    }

    static uint64_t bytes_of(const Serving& serving) { return static_cast<uint64_t>(double(serving.length.count()) * bytes_per_second); }

    void count_miss(const Job& job, std::optional<Instant> point, Instant end) {
        if (!job.rules.rpo) return;
        if (end > point.value_or(options_.from) + *job.rules.rpo) made_.jobs[job.name].rpo_misses++;
    }

    void settle_run(const Job& job, const Serving& serving, unsigned attempts, bool succeeded) {
        SimulatedRun run;
        run.job = job.name, run.period = serving.period, run.cause = serving.cause;
        run.earliest = serving.earliest, run.deadline = serving.deadline;
        run.stretches = serving.stretches, run.attempts = attempts, run.succeeded = succeeded;
        SimulatedJob& sums = made_.jobs[job.name];
        sums.runs++;
        sums.failed += !succeeded;
        for (const TimeRange& stretch : run.stretches) sums.hours += double((stretch.until - stretch.from).count()) / 3600;
        if (succeeded) {
            World truth = world(truth_, serving.earliest);
            Settled settled = settle(job, truth, run.stretches, bytes_of(serving), run.earliest, run.deadline);
            run.grams = settled.grams, run.at_once = settled.at_once, run.foresight = settled.foresight;
            if (run.grams && run.at_once && run.foresight) {
                sums.settled++;
                sums.grams += *run.grams, sums.at_once += *run.at_once, sums.foresight += *run.foresight;
            }
            run.money = RunWeights(job, truth, bytes_of(serving), serving.length).power_money(run.stretches);
            if (run.money) {
                sums.money = sums.money.value_or(Money{}) + *run.money;
                Money& used = used_.money[job.name];
                used = used + *run.money;
            }
        }
        made_.runs.push_back(std::move(run));
        serving_.erase(job.name);
    }

    void finish() {
        for (auto& entry : made_.jobs) {
            const Job& job = config_.jobs.at(entry.first);
            const JobState& state = states_.at(entry.first);
            if (job.rules.rpo && options_.until > state.last_point.value_or(options_.from) + *job.rules.rpo) entry.second.rpo_misses++;
            add(made_.total, entry.second);
        }
    }

    static void add(SimulatedJob& sum, const SimulatedJob& job) {
        sum.runs += job.runs, sum.failed += job.failed, sum.skipped += job.skipped, sum.rpo_misses += job.rpo_misses;
        sum.suspensions += job.suspensions, sum.settled += job.settled;
        sum.hours += job.hours, sum.grams += job.grams, sum.at_once += job.at_once, sum.foresight += job.foresight;
        if (!job.money) return;
        // Amounts of two currencies have no sum.
        if (!sum.currency.empty() && sum.currency != job.currency) sum.currency = "mixed";
        if (sum.currency == "mixed") {
            sum.money.reset();
            return;
        }
        sum.currency = job.currency;
        sum.money = sum.money.value_or(Money{}) + *job.money;
    }

    const Config& config_;
    const SimulateOptions& options_;
    Outlooks outlooks_;
    std::map<std::string, ZoneOutlook> truth_;
    std::map<std::string, JobState> states_;
    std::map<std::string, std::vector<SyncMeasure>> measures_;
    std::map<std::string, Running> running_;
    std::map<std::string, Serving> serving_;
    std::map<std::string, std::vector<Instant>> retry_by_;
    MonthUse used_;
    std::chrono::month month_{};
    Simulated made_;
};

}  // namespace

std::optional<double> share_of_foresight(const SimulatedJob& job) {
    double possible = job.at_once - job.foresight;
    if (possible <= 0) return std::nullopt;
    return (job.at_once - job.grams) / possible;
}

Result<Simulated> simulate(const Config& config, const Trace& trace, const SimulateOptions& options) {
    if (options.until <= options.from) return fail(EINVAL, "simulate: from {} until {} is no time", instant_text(options.from), instant_text(options.until));
    return Simulation(config, trace, options).run();
}

}  // namespace hyper::scheduler
