// SPDX-License-Identifier: Apache-2.0
#include "bench/planner/fleets.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "scheduler/calendar/windows.h"

namespace hyper::figures {
namespace {

using namespace scheduler;
using std::chrono::hours;
using std::chrono::minutes;

std::vector<carbon::StepSeries> synthetic_prices(const std::vector<carbon::StepSeries>& zones, Draw& draw) {
    std::vector<carbon::StepSeries> prices;
    for (const carbon::StepSeries& zone : zones) {
        std::vector<double> values;
        double noon = draw.between(0.0, 24.0), middle = draw.between(0.03, 0.15), sun = draw.between(0.3, 1.2);
        for (size_t hour = 0; hour < zone.size(); hour++)
            values.push_back(middle * (1 - sun * std::cos((double(hour) - noon) * std::numbers::pi / 12) + draw.between(-0.2, 0.2)));
        prices.emplace_back(zone.start(), zone.step(), std::move(values));
    }
    return prices;
}

}  // namespace

std::vector<carbon::StepSeries> synthetic_zones(size_t zones, Instant start, size_t hours_count, uint64_t seed) {
    Draw draw(seed);
    std::vector<carbon::StepSeries> made;
    for (size_t zone = 0; zone < zones; zone++) {
        double middle = draw.between(30.0, 700.0), phase = draw.between(0.0, 24.0);
        double sun = draw.between(0.0, 0.35), evening = draw.between(0.0, 0.15), wind = 0;
        std::vector<double> values;
        for (size_t hour = 0; hour < hours_count; hour++) {
            double angle = (double(hour) - phase) * std::numbers::pi / 12;
            wind = 0.9 * wind + draw.between(-0.06, 0.06);
            values.push_back(middle * std::max(0.05, 1 - sun * std::cos(angle) + evening * std::sin(2 * angle) + wind));
        }
        made.emplace_back(start, hours(1), std::move(values));
    }
    return made;
}

void LargeFleet::renew() {
    fleet.weights.clear();
    for (const Place& place : places) {
        RunEnd end{&place, 1};
        for (const Worth& worth : worths) fleet.weights.push_back(weigh({&end, 1}, worth));
    }
    fleet.windows.clear();
    for (size_t i = 0; i < allow.size(); i++) {
        auto windows = Windows::parse(allow[i], deny[i], *TimeZone::find("Europe/Berlin"));
        fleet.windows.push_back(windows->open_times(fleet.start, fleet.start + hours(24 * 7)));
    }
}

LargeFleet large_fleet(size_t jobs, std::vector<carbon::StepSeries> zones, uint64_t seed) {
    Draw draw(seed);
    LargeFleet made;
    auto prices = synthetic_prices(zones, draw);
    for (size_t i = 0; i < zones.size(); i++) made.places.push_back({zones[i], prices[i]});
    made.worths = {{1, 0}, {1, 500}, {1, 2000}, {0, 1}};
    made.allow = {{}, {"20:00-06:00"}, {"Mon..Fri 18:00-08:00", "Sat,Sun *"}, {"22:30-05:30"}, {"00:00-12:00"}, {"18:00-24:00", "00:00-07:15"}};
    made.deny = {{"12:00-13:00"}, {}, {"Sun 03:00-04:00"}, {"Wed *"}, {}, {"02:00-02:30"}};
    Fleet& fleet = made.fleet;
    fleet.start = zones[0].start();
    fleet.runs_max = uint32_t(jobs / 40);
    fleet.source_runs_max.assign(std::max<size_t>(1, jobs / 25), 2);
    fleet.target_runs_max.assign(std::max<size_t>(1, jobs / 500), 16);
    auto policies = uint32_t(made.worths.size());
    for (size_t i = 0; i < jobs; i++) {
        FleetJob job;
        double median_minutes = 40 * std::exp(draw.between(-1.5, 1.5) + draw.between(-0.7, 0.7));
        job.task.length = Seconds(int64_t(std::clamp(median_minutes, 2.0, 480.0) * 60));
        job.task.guard = job.task.length / 5;
        job.task.earliest = fleet.start + (draw.chance(0.2) ? minutes(draw.below(60)) : minutes(draw.below(72 * 60)));
        job.task.interruptible = draw.chance(0.1);
        job.task.gain_min = 0.03;
        job.task.seed = i;
        job.windows = draw.chance(0.6) ? draw.below(uint32_t(made.allow.size())) : always_open;
        job.task.latest_end = job.task.earliest + job.task.length * 2 + minutes(draw.between(job.windows == always_open ? 60 : 24 * 60, 40 * 60));
        uint32_t policy = draw.below(policies);
        job.source_weights = draw.below(uint32_t(zones.size())) * policies + policy;
        job.target_weights = draw.below(uint32_t(zones.size())) * policies + policy;
        job.source_kw = float(draw.between(0.05, 0.5)), job.target_kw = float(draw.between(0.05, 0.5));
        job.source = uint32_t(i / 25), job.target = draw.below(uint32_t(fleet.target_runs_max.size()));
        job.source = std::min(job.source, uint32_t(fleet.source_runs_max.size() - 1));
        job.priority = uint8_t(draw.below(4));
        job.name = "a job";
        if (i % 10 == 9) {
            const Task& before = fleet.jobs.back().task;
            fleet.dependencies.push_back({uint32_t(i), uint32_t(i - 1)});
            job.task.earliest = before.earliest;
            job.task.latest_end = std::max(job.task.latest_end, before.latest_end + job.task.length * 2);
        }
        fleet.jobs.push_back(job);
    }
    for (size_t i = 0; i < jobs / 200; i++)
        fleet.running.push_back({{fleet.start - hours(1), fleet.start + minutes(draw.below(180))},
                                 draw.below(uint32_t(fleet.source_runs_max.size())),
                                 draw.below(uint32_t(fleet.target_runs_max.size()))});
    made.renew();
    return made;
}

Fleet small_fleet(const SmallFleetShape& shape, const std::vector<carbon::StepSeries>& zones, uint64_t seed) {
    Draw draw(seed);
    Fleet fleet;
    fleet.start = zones[0].start();
    fleet.steps = uint32_t(shape.steps);
    for (const carbon::StepSeries& zone : zones) fleet.weights.emplace_back(zone);
    for (int i = 0; i < 2; i++) {
        auto& policy = fleet.windows.emplace_back();
        for (int at = draw.between(0, 8); at < shape.steps; at += 8 + draw.between(1, 8))
            policy.push_back({fleet.start + hours(at), fleet.start + hours(at + 8)});
    }
    int jobs = draw.between(shape.jobs_max / 2, shape.jobs_max), sources = draw.between(2, 5);
    int in_all = 0;
    std::vector<int> by_source(size_t(sources), 0), by_target(2, 0);
    for (int i = 0; i < jobs; i++) {
        FleetJob job;
        int length = draw.between(1, shape.length_max), slack = draw.between(0, shape.steps / 2);
        int earliest = draw.between(0, shape.steps - length - slack);
        job.task = {.length = hours(length), .earliest = fleet.start + hours(earliest), .latest_end = fleet.start + hours(earliest + length + slack)};
        job.task.interruptible = shape.interruptible;
        job.task.seed = seed * 1000 + uint64_t(i);
        job.source_weights = draw.below(uint32_t(zones.size())), job.target_weights = draw.below(uint32_t(zones.size()));
        job.source_kw = float(draw.between(0.1, 1.0)), job.target_kw = float(draw.between(0.1, 1.0));
        job.source = draw.below(uint32_t(sources)), job.target = draw.below(2);
        if (slack > 16 && draw.chance(0.3)) job.windows = draw.below(2);
        in_all += length, by_source[job.source] += length, by_target[job.target] += length;
        job.name = "a job";
        if (shape.dependencies && i > 0 && slack > 4 && draw.chance(0.2)) {
            uint32_t before = draw.below(uint32_t(i));
            if (fleet.jobs[before].task.earliest < job.task.earliest) fleet.dependencies.push_back({uint32_t(i), before});
        }
        fleet.jobs.push_back(job);
    }
    auto limit = [&](int length) { return uint32_t(std::ceil(length / (shape.steps * draw.between(0.5, 0.9)))); };
    fleet.runs_max = std::max(limit(in_all), 1u);
    for (size_t i = 0; i < by_source.size(); i++) fleet.source_runs_max.resize(by_source.size()), fleet.source_runs_max[i] = 1 + limit(by_source[i]);
    fleet.target_runs_max.assign(2, no_limit);
    if (shape.targets)
        for (size_t i = 0; i < 2; i++) fleet.target_runs_max[i] = limit(by_target[i]) + 1;
    return fleet;
}

}  // namespace hyper::figures
