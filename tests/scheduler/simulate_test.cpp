// SPDX-License-Identifier: Apache-2.0
#include "scheduler/simulate.h"

#include <cmath>
#include <random>

#include "tests/scheduler/world.h"

namespace hyper::scheduler {
namespace {

// Hours of a grid with a day and a week in it, and weather that lasts; `seed` draws the weather.
carbon::StepSeries grid(Instant from, size_t hours_count, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    std::vector<double> values;
    double weather = 0;
    for (size_t hour = 0; hour < hours_count; hour++) {
        weather = 0.97 * weather + 12 * normal(random);
        double noon = std::cos((double(hour % 24) - 13) / 24 * 2 * M_PI);
        double weekend = hour / 24 % 7 >= 5 ? 40 : 0;
        values.push_back(std::max(20.0, 350 - 100 * noon - weekend + weather));
    }
    return {from, hours(1), std::move(values)};
}

Trace trace_of(Instant from, int days, uint64_t seed) {
    Trace trace;
    for (const char* zone : {"DE", "SE"}) trace.measured[zone] = grid(from - hours(24 * 14), size_t(days + 18) * 24, seed++);
    return trace;
}

Config config_of(const std::string& toml) {
    auto config = parse_config(toml, "test.toml");
    EXPECT_TRUE(config) << (config ? "" : config.error().message);
    return config ? std::move(*config) : Config();
}

const std::string nightly = "[jobs.db]\nsource = \"/a/db\"\nvolume = \"/v/db\"\nrpo = \"30h\"\nevery = {between = \"4h..24h\"}\n"
                            "carbon = {source_zone = \"DE\", target_zone = \"DE\"}\n";

SimulateOptions options_of(int days) {
    SimulateOptions options;
    options.from = day0;
    options.until = day0 + hours(24 * days);
    return options;
}

TEST(Simulate, saves_what_forecasts_make_possible) {
    Trace trace = trace_of(day0, 60, 1);
    // Perfect forecasts.
    for (int day = 0; day < 60; day++) {
        Instant issue = day0 + hours(24 * day);
        std::vector<double> values;
        for (int hour = 0; hour < 72; hour++) values.push_back(trace.measured["DE"].at(issue + hours(hour)).value_or(NAN));
        trace.forecasts["DE"].push_back({issue, {issue, hours(1), values}});
    }
    auto made = simulate(config_of(nightly), trace, options_of(60));
    ASSERT_TRUE(made);
    EXPECT_GE(made->total.runs, 55u);
    EXPECT_EQ(made->total.rpo_misses, 0u);
    EXPECT_LT(made->total.grams, 0.85 * made->total.at_once);
    EXPECT_GT(share_of_foresight(made->total).value_or(0), 0.7) << "guards take a part of the window";
}

TEST(Simulate, never_knows_better_than_foresight) {
    auto made = simulate(config_of(nightly), trace_of(day0, 60, 2), options_of(60));
    ASSERT_TRUE(made);
    for (const SimulatedRun& run : made->runs) {
        EXPECT_LE(*run.foresight, *run.grams + 1e-9) << run.period;
        EXPECT_LE(*run.foresight, *run.at_once + 1e-9) << run.period;
    }
    EXPECT_LE(made->total.grams, made->total.at_once) << "with the profile alone";
}

TEST(Simulate, looks_at_nothing_that_was_measured_later) {
    Trace trace = trace_of(day0, 40, 3);
    auto one = simulate(config_of(nightly), trace, options_of(40));
    for (int day = 15; day < 25; day++) {
        // The same up to that day's noon.
        Instant cut = day0 + hours(24 * day + 12);
        Trace other = trace;
        std::vector<double> values = other.measured["DE"].values();
        for (size_t i = 0; i < values.size(); i++)
            if (trace.measured["DE"].time_of(i) >= cut) values[i] = 1000 - values[i];
        other.measured["DE"] = {trace.measured["DE"].start(), hours(1), values};
        auto two = simulate(config_of(nightly), other, options_of(40));
        size_t same = 0;
        while (same < one->runs.size() && same < two->runs.size() && one->runs[same].stretches == two->runs[same].stretches) same++;
        ASSERT_LT(same, one->runs.size());
        EXPECT_GE(one->runs[same].stretches.front().from, cut);
        EXPECT_GE(two->runs[same].stretches.front().from, cut);
    }
}

TEST(Simulate, gives_the_same_again) {
    Trace trace = trace_of(day0, 20, 4);
    auto one = simulate(config_of(nightly), trace, options_of(20)), two = simulate(config_of(nightly), trace, options_of(20));
    EXPECT_EQ(one->runs.size(), two->runs.size());
    EXPECT_EQ(one->total.grams, two->total.grams);
    SimulateOptions other = options_of(20);
    other.seed = 2;
    EXPECT_NE(simulate(config_of(nightly), trace, other)->total.grams, one->total.grams);
}

TEST(Simulate, counts_an_objective_that_cannot_be_kept) {
    SimulateOptions options = options_of(10);
    options.outages.push_back({day0 + hours(50), day0 + hours(100)});
    auto made = simulate(config_of(nightly), trace_of(day0, 10, 5), options);
    EXPECT_EQ(made->total.rpo_misses, 1u);
}

// Job b has no time to wait until the cleanest hour of a's 48 has come.
TEST(Simulate, keeps_an_objective_through_a_dependency_that_waits_for_cleaner_hours) {
    const std::string waiting = "[jobs.a]\nsource = \"/s/a\"\nvolume = \"/v/a\"\nrpo = \"72h\"\nevery = {between = \"1h..48h\"}\n"
                                "carbon = {source_zone = \"DE\", target_zone = \"DE\"}\n"
                                "[jobs.b]\nsource = \"/s/b\"\nvolume = \"/v/b\"\nrpo = \"30h\"\nafter = [{job = \"a\"}]\n";
    for (uint64_t seed = 1; seed <= 3; seed++) {
        auto made = simulate(config_of(waiting), trace_of(day0, 60, seed), options_of(60));
        ASSERT_TRUE(made);
        EXPECT_EQ(made->total.rpo_misses, 0u) << "seed " << seed;
        EXPECT_GT(made->jobs["b"].runs, 48u);
        EXPECT_LT(made->jobs["a"].grams, made->jobs["a"].at_once) << "it waits for cleaner hours still";
    }
}

TEST(Simulate, suspends_and_goes_on) {
    std::string interrupting = "[jobs.db]\nsource = \"/a/db\"\nvolume = \"/v/db\"\nrpo = \"72h\"\nevery = {between = \"24h..60h\"}\n"
                               "carbon = {source_zone = \"DE\", target_zone = \"DE\", interrupt = true}\n";
    SimulateOptions options = options_of(40);
    options.length = hours(6);
    auto made = simulate(config_of(interrupting), trace_of(day0, 40, 6), options);
    EXPECT_GT(made->total.suspensions, 0u);
    EXPECT_EQ(made->total.rpo_misses, 0u);
}

// What is used does not depend on how often it was stopped.
TEST(Simulate, counts_a_run_in_pieces_by_each_of_them) {
    Config config = config_of(nightly);
    const std::map<std::string, JobState> states;
    const std::map<std::string, std::vector<SyncMeasure>> measures;
    const std::map<std::string, Money> costs;
    std::map<std::string, ZoneOutlook> truth;
    World world{config, states, truth, truth, measures, costs, {}, day0, 1};
    auto grams = [&](const std::vector<TimeRange>& stretches) {
        return settle(config.jobs.at("db"), world, stretches, 5'000'000'000'000, day0, day0 + hours(30)).grams.value_or(NAN);
    };
    truth["DE"].grams_per_kwh = {day0, hours(1), std::vector<double>(48, 300)};
    double whole = grams({{day0, day0 + hours(4)}});
    EXPECT_GT(whole, 0);
    EXPECT_NEAR(grams({{day0, day0 + hours(1)}, {day0 + hours(5), day0 + hours(8)}}), whole, whole * 1e-9);
    std::vector<double> cleaner(48, 300);
    for (size_t i = 4; i < 48; i++) cleaner[i] = 100;
    truth["DE"].grams_per_kwh = {day0, hours(1), cleaner};
    EXPECT_NEAR(grams({{day0, day0 + hours(1)}, {day0 + hours(5), day0 + hours(8)}}), whole * (0.25 + 0.75 / 3), whole * 1e-9);
}

TEST(Simulate, prices_a_run_in_pieces_by_each_of_them) {
    std::string interrupting = "[jobs.db]\nsource = \"/a/db\"\nvolume = \"/v/db\"\nrpo = \"72h\"\nevery = {between = \"24h..60h\"}\n"
                               "carbon = {source_zone = \"DE\", target_zone = \"DE\", interrupt = true}\n";
    Config config = config_of(interrupting);
    SimulateOptions options = options_of(40);
    options.length = hours(6);
    Trace trace = trace_of(day0, 40, 6);
    trace.prices["DE"] = {grid(day0, 42 * 24, 7), "EUR"};
    auto made = simulate(config, trace, options);
    size_t in_pieces = 0;
    for (const SimulatedRun& run : made->runs) {
        Seconds length{};
        double price_seconds = 0;
        for (const TimeRange& stretch : run.stretches) {
            length += stretch.until - stretch.from;
            price_seconds += trace.prices["DE"].per_kwh.mean(stretch.from, stretch.until).value_or(NAN) * double((stretch.until - stretch.from).count());
        }
        auto energy = *energy_of_run(config.jobs.at("db"), uint64_t(length.count()) * 100'000'000, double(length.count()));
        double kwh = (energy.source + energy.target + energy.network).middle, expected = kwh * price_seconds / double(length.count());
        ASSERT_TRUE(run.money);
        EXPECT_NEAR(double(run.money->nanos) / 1e9, expected, expected * 1e-6) << run.period;
        in_pieces += run.stretches.size() > 1;
    }
    EXPECT_GT(in_pieces, 0u);
}

// Waits between attempts may be longer than what is kept free for them.
TEST(Simulate, tries_again_while_the_objective_can_still_be_kept) {
    std::string patient = "[jobs.db]\nsource = \"/a/db\"\nvolume = \"/v/db\"\nrpo = \"24h\"\nevery = {between = \"4h..20h\"}\nretry = {initial = \"12h\", cap = \"12h\"}\n"
                          "carbon = {source_zone = \"DE\", target_zone = \"DE\"}\n";
    SimulateOptions options = options_of(120);
    options.failing = 0.3;
    auto made = simulate(config_of(patient), trace_of(day0, 120, 8), options);
    Instant point = day0;
    size_t retried = 0;
    for (const SimulatedRun& run : made->runs) {
        if (!run.succeeded) continue;
        if (run.attempts == 2) {
            EXPECT_LE(run.stretches.back().until, point + hours(24)) << run.period;
            retried++;
        }
        point = run.stretches.front().from;
    }
    EXPECT_GT(retried, 10u);
}

TEST(Simulate, refuses_no_time) {
    EXPECT_FALSE(simulate(Config(), Trace(), SimulateOptions()));
}

// Jobs with every rule, drawn at random.
std::string random_config(std::mt19937_64& random) {
    auto one_of = [&](std::initializer_list<const char*> list) { return std::string(list.begin()[random() % list.size()]); };
    std::string toml = fmt::format("[limits]\nruns = {}\nper_source = {}\nper_target = {}\n", 2 + random() % 4, 1 + random() % 3, 1 + random() % 3);
    size_t jobs = 3 + random() % 8;
    for (size_t i = 0; i < jobs; i++) {
        toml += fmt::format("[jobs.j{}]\nsource = \"/s{}/d{}\"\nvolume = \"/v{}/d{}\"\n", i, random() % 3, i, random() % 2, i);
        toml += "timezone = \"" + one_of({"Europe/Berlin", "America/New_York", "UTC", "Australia/Lord_Howe"}) + "\"\n";
        toml += "rpo = \"" + one_of({"8h", "12h", "26h", "30h", "48h"}) + "\"\n";
        toml += one_of({"every = \"0 1 * * *\"\n", "every = \"OnCalendar=hourly\"\n", "every = {between = \"2h..7h\"}\n", "every = \"30 2 * * 0\"\n", ""});
        toml += one_of({"", "windows = {allow = [\"20:00-06:00\"]}\n", "windows = {allow = [\"Sat,Sun *\", \"Mon..Fri 01:00-05:00\"], on_close = \"finish\"}\n",
                        "windows = {deny = [\"08:00-18:00\"]}\n"});
        toml += "overlap = \"" + one_of({"skip", "buffer-one", "allow"}) + "\"\n";
        toml += "catchup = {mode = \"" + one_of({"latest", "all", "none"}) + "\", within = \"12h\"}\n";
        toml += "carbon = {source_zone = \"DE\", target_zone = \"SE\", interrupt = " + one_of({"true", "false"}) + "}\n";
        toml += fmt::format("priority = {}\n", random() % 101);
        toml += one_of({"", "cost = {budget = {amount = \"0\", on_exceed = \"stop\"}}\n", "cost = {budget = {amount = \"0\", on_exceed = \"defer-within-rpo\"}}\n"});
    }
    return toml;
}

// Over months, with every rule, no objective is missed for the sake of anything.
TEST(SimulateRandom, keeps_every_objective) {
    for (uint64_t seed = 1; seed <= 12; seed++) {
        std::mt19937_64 random(seed);
        std::string toml = random_config(random);
        SimulateOptions options = options_of(45);
        options.from = at(seed % 2 ? "2026-03-10T00:00:00Z" : "2026-10-10T00:00:00Z");
        options.until = options.from + hours(24 * 45);
        options.seed = seed;
        auto made = simulate(config_of(toml), trace_of(options.from, 45, seed), options);
        ASSERT_TRUE(made);
        for (const auto& entry : made->jobs) EXPECT_EQ(entry.second.rpo_misses, 0u) << "seed " << seed << ", job " << entry.first << "\n" << toml;
        EXPECT_GT(made->total.runs, 60u);
    }
}

// The same with outages in which hyperd and its syncs are killed, and attempts that fail. A miss is forgiven only where the machine was down within the
// objective's last stretch, or attempts failed.
TEST(SimulateRandom, misses_only_what_outages_and_failures_make_impossible) {
    size_t missed = 0, runs = 0;
    for (uint64_t seed = 101; seed <= 112; seed++) {
        std::mt19937_64 random(seed);
        std::string toml = random_config(random);
        Config config = config_of(toml);
        SimulateOptions options = options_of(45);
        options.seed = seed;
        for (int i = 0; i < 12; i++) {
            Instant from = day0 + minutes(random() % (45 * 1440));
            options.outages.push_back({from, from + minutes(1 + random() % 600)});
        }
        auto made = simulate(config, trace_of(day0, 45, seed), options);
        ASSERT_TRUE(made);
        std::map<std::string, Instant> point;
        for (const SimulatedRun& run : made->runs) {
            runs++;
            if (!run.succeeded) continue;
            const Seconds rpo = *config.jobs.at(run.job).rules.rpo;
            Instant since = point.contains(run.job) ? point[run.job] : day0, end = run.stretches.back().until;
            point[run.job] = run.stretches.front().from;
            if (end <= since + rpo) continue;
            missed++;
            bool down = false;
            for (const TimeRange& outage : options.outages) down = down || (outage.until > since + rpo / 2 && outage.from < end);
            EXPECT_TRUE(down) << "seed " << seed << ": " << run.job << " " << run.period << "\n" << toml;
        }
    }
    EXPECT_LT(missed, runs / 20);
}

// The guard has room for one more attempt; what fails again and again may come too late.
TEST(SimulateRandom, keeps_objectives_where_one_attempt_fails) {
    size_t missed = 0, runs = 0;
    for (uint64_t seed = 201; seed <= 206; seed++) {
        std::mt19937_64 random(seed);
        SimulateOptions options = options_of(45);
        options.seed = seed;
        options.failing = 0.1;
        Config config = config_of(random_config(random));
        auto made = simulate(config, trace_of(day0, 45, seed), options);
        ASSERT_TRUE(made);
        missed += made->total.rpo_misses, runs += made->total.runs;
        std::map<std::string, Instant> point;
        for (const SimulatedRun& run : made->runs) {
            if (!run.succeeded) continue;
            Instant since = point.contains(run.job) ? point[run.job] : day0, end = run.stretches.back().until;
            point[run.job] = run.stretches.front().from;
            bool late = end > since + *config.jobs.at(run.job).rules.rpo;
            EXPECT_TRUE(!late || run.attempts >= 3) << "seed " << seed << ": " << run.job << " " << run.period;
        }
    }
    EXPECT_LT(missed, runs / 1000);
}

}  // namespace
}  // namespace hyper::scheduler
