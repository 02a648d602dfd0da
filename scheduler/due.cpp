// SPDX-License-Identifier: Apache-2.0
#include "scheduler/due.h"

#include <algorithm>

namespace hyper::scheduler {
namespace {

// Of what was missed for years only so many are looked at, the newest of these counts.
constexpr size_t missed_max = 100'000;
// A time that passed longer ago than that was missed; before, hyperd is only a little late.
constexpr Seconds late_max = std::chrono::minutes(5);

// The calendar's times after what has been served, up to now.
std::vector<Instant> passed(const Job& job, const JobState& state, Instant now) {
    std::vector<Instant> times;
    Instant at = state.served_until.value_or(state.since);
    while (times.size() < missed_max) {
        auto next = job.rules.every.calendar->next(at);
        if (!next || *next > now) break;
        times.push_back(at = *next);
    }
    return times;
}

bool of_calendar(const std::string& period) {
    return !period.empty() && period[0] >= '0' && period[0] <= '9';
}

// Of the period that the state names.
std::optional<Instant> end_of_period(const Job& job, const JobState& state) {
    const Schedule& every = job.rules.every;
    if (!of_calendar(state.period) || !state.due) return std::nullopt;
    if (every.calendar) return every.calendar->next(*state.due);
    if (every.elastic) return *state.due + (every.elastic->max - (state.last_end ? every.elastic->min : Seconds(0)));
    return std::nullopt;
}

void serve(Due& made, const Job& job, Instant due) {
    made.period = instant_text(due);
    made.due = made.earliest = due;
    made.served_until = due;
    made.period_end = job.rules.every.calendar->next(due);
}

void find_by_calendar(Due& made, const Job& job, const JobState& state, Instant now) {
    const Catchup& catchup = job.rules.catchup;
    bool waits = of_calendar(state.period) && state.due && state.attempts == 0;
    if (!state.period.empty() && !waits) return;
    auto times = passed(job, state, now);
    if (waits) times.insert(times.begin(), *state.due);
    if (state.buffered) times.insert(times.begin(), *state.buffered);
    bool all = catchup.mode == CatchupMode::all || job.rules.overlap == Overlap::allow;
    for (size_t i = 0; i < times.size(); i++) {
        bool newest = i + 1 == times.size();
        // What is waited for already was not missed.
        bool held = (waits && times[i] == *state.due) || (state.buffered && times[i] == *state.buffered);
        bool too_old = !held && ((catchup.within && now - times[i] > *catchup.within) || (catchup.mode == CatchupMode::none && now - times[i] > late_max));
        if (too_old || (!all && !newest)) {
            made.skipped.push_back(times[i]);
            made.served_until = times[i];
            continue;
        }
        serve(made, job, times[i]);
        if (waits && times[i] == *state.due) made.served_until.reset();
        return;
    }
    made.next = job.rules.every.calendar->next(now);
}

void find_by_elastic(Due& made, const Job& job, const JobState& state) {
    const Elastic& elastic = *job.rules.every.elastic;
    if (!state.period.empty()) return;
    // What never ran is due at once.
    Instant base = state.last_end.value_or(state.since);
    made.earliest = state.last_end ? elastic.earliest(base) : state.since;
    made.due = made.earliest;
    made.period = instant_text(made.earliest);
    made.period_end = elastic.latest(base);
}

// Between the middle of the objective and its end: a run that comes sooner protects little more, and would be repeated all the time while it is clean.
void find_by_objective(Due& made, const Job& job, const JobState& state) {
    if (!state.period.empty()) return;
    Instant point = state.last_point.value_or(state.since);
    Instant base = std::max(point, state.last_end.value_or(point));
    made.earliest = state.last_point ? point + *job.rules.rpo / 2 : state.since;
    if (state.last_failed && state.last_end) made.earliest = std::max(made.earliest, *state.last_end + job.rules.retry.cap);
    made.due = made.earliest;
    made.period = "rpo " + instant_text(base);
}

bool outcome_fits(AfterOutcome on, const JobState& other, std::optional<Instant>& ended) {
    if (on == AfterOutcome::success) {
        ended = other.last_success_end;
        return ended.has_value();
    }
    ended = other.last_end;
    return ended && (on == AfterOutcome::any || other.last_failed);
}

// When the run ended that `after` names; nothing if there is none that is new enough for a run of this job.
std::optional<Instant> dependency_ended(const After& after, const JobState& state, const std::map<std::string, JobState>& states) {
    auto other = states.find(after.job);
    std::optional<Instant> end;
    if (other == states.end() || !outcome_fits(after.on, other->second, end)) return std::nullopt;
    // It must be newer than the last run of this job that was begun in another period.
    if (state.run_started && state.attempts == 0 && *end <= *state.run_started) return std::nullopt;
    return end;
}

bool still_fresh(const After& after, const JobState& state, Instant ended, Instant now) {
    return !after.within || now - ended <= *after.within || state.attempts > 0;
}

}  // namespace

bool dependency_met(const After& after, const JobState& state, const std::map<std::string, JobState>& states, Instant now) {
    auto end = dependency_ended(after, state, states);
    return end && still_fresh(after, state, *end, now);
}

std::string missing_dependency(const Job& job, const JobState& state, const std::map<std::string, JobState>& states, Instant now, Instant& ended) {
    static constexpr const char* words[] = {"has succeeded", "has failed", "has ended"};
    ended = {};
    for (const After& after : job.rules.after) {
        auto end = dependency_ended(after, state, states);
        if (!end || !still_fresh(after, state, *end, now))
            return fmt::format("a run of job {} that {}{}{}", after.job, words[static_cast<size_t>(after.on)],
                               after.within ? fmt::format(" within {}", duration_text(*after.within)) : std::string(),
                               end ? fmt::format(" (the last one ended at {})", instant_text(*end)) : std::string());
        ended = std::max(ended, *end);
    }
    return "";
}

Due find_due(const Job& job, const JobState& state, const std::map<std::string, JobState>& states, Instant now) {
    Due made;
    if (!state.period.empty()) {
        // Waits, or goes on; a newer time of the calendar may take its place below.
        made.period = state.period;
        made.due = made.earliest = state.due.value_or(now);
        made.period_end = end_of_period(job, state);
    }
    Instant ended;
    made.waits_for = missing_dependency(job, state, states, now, ended);
    if (job.rules.every.calendar)
        find_by_calendar(made, job, state, now);
    else if (job.rules.every.elastic)
        find_by_elastic(made, job, state);
    else if (!job.rules.after.empty()) {
        if (made.period.empty() && made.waits_for.empty()) {
            made.period = "after " + instant_text(ended);
            made.due = made.earliest = ended;
        }
    } else if (job.rules.rpo) {
        find_by_objective(made, job, state);
    }
    return made;
}

Due find_overlap(const Job& job, const JobState& state, Instant now) {
    Due made;
    made.period_end = end_of_period(job, state);
    if (!job.rules.every.calendar) return made;
    auto times = passed(job, state, now);
    made.next = job.rules.every.calendar->next(now);
    if (times.empty()) return made;
    switch (job.rules.overlap) {
        case Overlap::skip:
            made.skipped = times;
            made.served_until = times.back();
            break;
        case Overlap::buffer_one:
            made.skipped.assign(times.begin(), times.end() - 1);
            if (state.buffered) made.skipped.insert(made.skipped.begin(), *state.buffered);
            made.buffered = made.served_until = times.back();
            break;
        case Overlap::replace:
            made.replace = true;
            break;
        case Overlap::allow:
            break;  // they are found when it has ended
    }
    return made;
}

}  // namespace hyper::scheduler
