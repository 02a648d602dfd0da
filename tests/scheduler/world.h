// SPDX-License-Identifier: Apache-2.0
// A small world for decisions: a configuration in TOML, and what is known, on a clock that stands still.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "scheduler/decide.h"

namespace hyper::scheduler {

using std::chrono::hours;
using std::chrono::minutes;

inline Instant at(const char* text) {
    return *parse_instant(text);
}

// A Thursday, at midnight.
inline const Instant day0 = at("2026-01-01T00:00:00Z");

struct SmallWorld {
    Config config;
    std::map<std::string, JobState> states;
    std::map<std::string, ZoneOutlook> zones;
    std::map<std::string, std::vector<SyncMeasure>> measures;
    std::map<std::string, Money> costs;
    MonthUse used;
    uint64_t seed = 1;

    // Job "db" with these keys, and whatever tables come after them.
    explicit SmallWorld(const std::string& keys) : SmallWorld("[jobs.db]\nsource = \"/a/db\"\nvolume = \"/v/db\"\n" + keys, 0) {}
    SmallWorld(const std::string& toml, int) {
        auto read = parse_config(toml, "test.toml");
        EXPECT_TRUE(read) << (read ? "" : read.error().message);
        if (read) config = std::move(*read);
        for (const auto& entry : config.jobs) {
            states[entry.first].job = entry.first;
            states[entry.first].since = day0;
            // A day's sync takes an hour, neither more nor less.
            for (int i = 0; i < 20; i++)
                measures[entry.second.source].push_back({entry.second.source, day0, hours(24), 0, 86'400'000'000, 3600});
        }
    }

    // The last success: its point in time, and an hour later its end.
    void succeeded(Instant point, const char* job = "db") {
        JobState& state = states[job];
        state.last_point = state.run_started = point;
        state.last_end = state.last_success_end = point + hours(1);
        state.served_until = point;
    }

    // DE, from that time on.
    void outlook(Instant from, std::vector<double> hourly) {
        zones["DE"].grams_per_kwh = carbon::StepSeries(from, hours(1), std::move(hourly));
        zones["DE"].issue = "DE test";
    }

    std::vector<Decision> decide_all(Instant now) const { return decide(World{config, states, zones, zones, measures, costs, used, now, seed}); }

    Decision decide_at(Instant now, const char* job = "db") const {
        for (Decision& decision : decide_all(now))
            if (decision.job == job) return decision;
        ADD_FAILURE() << "no decision for " << job;
        return {};
    }

    // Decides, and writes it into the state.
    Decision step(Instant now, const char* job = "db") {
        Decision decision = decide_at(now, job);
        states[job] = after_decision(states[job], decision, now);
        return decision;
    }

    void end(Instant now, AttemptEnd how = {}, const char* job = "db") {
        states[job] = after_end(config.jobs.at(job), states[job], how, {}, now, seed);
    }
};

}  // namespace hyper::scheduler
