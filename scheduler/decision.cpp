// SPDX-License-Identifier: Apache-2.0
// What a decision means for a job's state, and its names; how it is made is in decide.cpp.
#include <algorithm>
#include <array>

#include "scheduler/decide.h"

namespace hyper::scheduler {
namespace {

constexpr std::array<const char*, 6> action_names{"wait", "run", "go-on", "suspend", "cancel", "none"};
constexpr std::array<const char*, 14> cause_names{"due",   "not-due", "planned", "deadline", "window", "limit",  "budget",
                                                  "dependency", "retry",   "paused",  "asked",    "replaced", "cancelled", "nothing"};

}  // namespace

const char* action_name(Action action) {
    return action_names[static_cast<size_t>(action)];
}

const char* cause_name(Cause cause) {
    return cause_names[static_cast<size_t>(cause)];
}

JobState after_decision(JobState state, const Decision& decision, Instant now) {
    if (decision.served_until) state.served_until = std::max(state.served_until.value_or(*decision.served_until), *decision.served_until);
    if (decision.buffered) state.buffered = decision.buffered;
    state.why = decision.explanation;
    switch (decision.action) {
        case Action::run:
            return after_start(std::move(state), decision.period, decision.due, now);
        case Action::cancel:
            state.cancelled = true;
            return state;
        case Action::go_on:
        case Action::suspend:
            return state;
        case Action::none:
            state.phase = Phase::done;
            state.next_start.reset();
            return state;
        case Action::wait:
            break;
    }
    if (state.phase != Phase::retrying) state.phase = decision.cause == Cause::user_paused ? Phase::paused : Phase::waiting;
    state.next_start = decision.at;
    if (!decision.period.empty() && decision.cause != Cause::not_due && !decision.period.starts_with("asked ")) {
        if (state.period != decision.period) state.attempts = 0;
        state.period = decision.period;
        state.due = decision.due;
    }
    return state;
}

std::optional<Instant> next_wake(const std::vector<Decision>& decisions, Instant now) {
    std::optional<Instant> first;
    for (const Decision& decision : decisions)
        if (decision.at && *decision.at > now && (!first || *decision.at < *first)) first = decision.at;
    return first;
}

}  // namespace hyper::scheduler
