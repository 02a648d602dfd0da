// SPDX-License-Identifier: Apache-2.0
// A configuration (TOML), or a job of the API (JSON, which begins with a brace). What is accepted can be planned by: its calendars give times that
// rise, and decide() says something of every job.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "scheduler/decide.h"

namespace {

using namespace hyper;
using namespace hyper::scheduler;

const Instant now = *parse_instant("2026-03-28T23:30:00Z");

void expect(bool good) {
    if (!good) std::abort();
}

void check_calendar(const Calendar& calendar) {
    Instant at = now;
    for (int i = 0; i < 3; i++) {
        auto next = calendar.next(at);
        if (!next) return;
        expect(*next > at);
        at = *next;
    }
}

void check(const Config& config) {
    for (const auto& entry : config.jobs) {
        const Policy& rules = entry.second.rules;
        expect(entry.second.name == entry.first);
        if (rules.every.calendar) check_calendar(*rules.every.calendar);
        if (rules.windows) {
            auto open = rules.windows->next_open(now);
            expect(!open || (*open >= now && rules.windows->open(*open)));
        }
    }
    if (config.jobs.size() > 20) return;
    const std::map<std::string, JobState> states;
    const std::map<std::string, ZoneOutlook> zones;
    const std::map<std::string, std::vector<SyncMeasure>> measures;
    const std::map<std::string, Money> costs;
    auto decisions = decide({config, states, zones, zones, measures, costs, {}, now, 1});
    expect(decisions.size() == config.jobs.size());
    for (const Decision& decision : decisions) expect(!decision.explanation.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string text(reinterpret_cast<const char*>(data), size);
    if (!text.starts_with('{')) {
        auto config = parse_config(text, "fuzz.toml");
        if (config) check(*config);
        return 0;
    }
    static const Config known = *parse_config("[policies.p]\nrpo = \"24h\"\n[jobs.other]\nsource = \"a\"\nvolume = \"b\"\n", "known.toml");
    Config config = known;
    auto job = parse_job_json(text, "job", config);
    if (!job || !add_job(config, std::move(*job))) return 0;
    expect(config.jobs.contains("job"));
    check(config);
    return 0;
}
