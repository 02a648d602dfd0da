// SPDX-License-Identifier: Apache-2.0
// planner-figures [--data FOLDER] [--repeats N] [--cases N]: figures 4 and 5. bench/planner-figures calls it.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>

#include "bench/carbon/traces.h"
#include "bench/figure_lines.h"
#include "bench/planner/fleets.h"
#include "bench/planner/memory.h"
#ifdef HYPER_EXACT
#include "bench/planner/gaps.h"
#endif

namespace hyper::figures {
namespace {

constexpr size_t zone_count = 123, horizon_hours = 96;

// Forecasts of all zones from some hour of the year on; synthetic ones without data.
class Forecasts {
  public:
    explicit Forecasts(std::map<std::string, StepSeries> year) : year_(std::move(year)) {}

    std::vector<StepSeries> at(uint64_t number) const {
        if (year_.empty()) return synthetic_zones(zone_count, Instant(std::chrono::hours(24 * 20000)), horizon_hours, number);
        std::vector<StepSeries> zones;
        for (const auto& [name, series] : year_) {
            size_t from = scheduler::mix(number) % (series.size() - horizon_hours);
            auto begin = series.values().begin() + ptrdiff_t(from);
            zones.emplace_back(series.time_of(from), series.step(), std::vector<double>(begin, begin + horizon_hours));
        }
        return zones;
    }

  private:
    std::map<std::string, StepSeries> year_;
};

Result<void> large_plans(const Forecasts& forecasts, int repeats) {
    constexpr size_t jobs = 100'000;
    LargeFleet large = large_fleet(jobs, forecasts.at(0), 1);
    std::vector<double> times_ms, cpu_ms;
    size_t bytes = 0;
    double saved = 0, over = 0, outside = 0, late = 0;
    for (int i = 0; i < repeats; i++) {
        // Another forecast for the same hours.
        auto zones = forecasts.at(uint64_t(i));
        for (size_t zone = 0; zone < zones.size(); zone++)
            large.places[zone].grams_per_kwh = StepSeries(large.fleet.start, zones[zone].step(), zones[zone].values());
        large.fleet.weights = {}, large.fleet.windows = {};
        count_from_here();
        auto began = std::chrono::steady_clock::now();
        auto cpu = std::clock();
        large.renew();
        auto plan = scheduler::plan_fleet(large.fleet);
        times_ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count());
        cpu_ms.push_back(double(std::clock() - cpu) * 1e3 / CLOCKS_PER_SEC);
        bytes = std::max(bytes, bytes_held_max());
        if (!plan) return tl::unexpected(plan.error());
        double weight = 0, now = 0;
        for (size_t job = 0; job < jobs; job++) {
            const scheduler::FleetRun& run = plan->runs[job];
            over += run.reason == scheduler::Reason::no_capacity, outside += run.reason == scheduler::Reason::no_window;
            late += run.run.until > large.fleet.jobs[job].task.latest_end;
            // Weights of other policies are not grams.
            bool grams = large.fleet.jobs[job].source_weights % large.worths.size() == 0;
            if (grams && !std::isnan(run.weight) && !std::isnan(run.weight_now)) weight += run.weight, now += run.weight_now;
        }
        saved += (1 - weight / now) / repeats;
    }
    std::sort(times_ms.begin(), times_ms.end()), std::sort(cpu_ms.begin(), cpu_ms.end());
    auto at = [&](double share) { return std::min(size_t(repeats) - 1, size_t(share * repeats)); };
    at_most(4, fmt::format("re-plan of 100,000 jobs, {} times: 99th percentile, ms", repeats), 250, times_ms[at(0.99)]);
    tell(4, "median, ms", times_ms[at(0.5)]);
    tell(4, "longest, ms", times_ms.back());
    tell(4, "processor time: 99th percentile, ms", cpu_ms[at(0.99)]);
    tell(4, "processor time: median, ms", cpu_ms[at(0.5)]);
    at_most(4, "most memory beyond the jobs' definitions, bytes a job", 200, double(bytes) / jobs);
    tell(4, "a job's definition, bytes", sizeof(scheduler::FleetJob));
    compare(4, "runs that end after their deadline", 0, late, 0);
    tell(4, "runs over a limit, a plan", over / repeats);
    tell(4, "runs outside of their windows, a plan", outside / repeats);
    tell(4, "saved by the forecast, jobs that count grams only, %", saved * 100);
    return {};
}

#ifdef HYPER_EXACT
void gap(const std::string& name, const SmallFleetShape& shape, const Forecasts& forecasts, int cases) {
    Gaps all;
    for (int i = 0; i < cases; i++) {
        auto zones = forecasts.at(uint64_t(i));
        zones.resize(8);
        Gaps one = measure_gaps(shape, zones, 1, uint64_t(i) + 1000);
        all.shares.insert(all.shares.end(), one.shares.begin(), one.shares.end());
        all.impossible += one.impossible, all.missed += one.missed;
    }
    at_most(5, name + ": mean gap, %", 1, all.mean() * 100);
    tell(5, name + ": worst gap, %", all.worst() * 100);
    tell(5, name + ": fleets compared", double(all.shares.size()));
    tell(5, name + ": of these exact", all.exact());
    tell(5, name + ": fleets without any plan that keeps all", all.impossible);
    tell(5, name + ": fleets in which ours goes over a limit and need not", all.missed);
}
#endif

int run(const std::string& data, int repeats, [[maybe_unused]] int cases) {
    std::map<std::string, StepSeries> year;
    if (!data.empty()) {
        auto read = read_zones(data);
        if (!read) {
            fmt::print(stderr, "planner-figures: {}\n", read.error().message);
            return 2;
        }
        year = std::move(*read);
    }
    Forecasts forecasts(std::move(year));
    if (auto made = large_plans(forecasts, repeats); !made) {
        fmt::print(stderr, "planner-figures: {}\n", made.error().message);
        return 2;
    }
#ifdef HYPER_EXACT
    gap("interruptible, up to 120 jobs", {.jobs_max = 120, .steps = 96, .length_max = 5, .interruptible = true}, forecasts, cases);
    gap("whole, up to 30 jobs", {.jobs_max = 30, .steps = 36, .length_max = 4, .targets = true}, forecasts, cases);
    gap("whole with dependencies, up to 30 jobs", {.jobs_max = 30, .steps = 36, .length_max = 4, .targets = true, .dependencies = true}, forecasts,
        cases);
#else
    fmt::print(stderr, "planner-figures: built without LEMON and CBC: figure 5 is left out\n");
#endif
    return all_passed() ? 0 : 1;
}

}  // namespace
}  // namespace hyper::figures

int main(int argc, char** argv) {
    std::string data;
    int repeats = 200, cases = 200;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 < argc && !std::strcmp(argv[i], "--data")) {
            data = argv[i + 1];
        } else if (i + 1 < argc && !std::strcmp(argv[i], "--repeats")) {
            repeats = std::max(1, std::atoi(argv[i + 1]));
        } else if (i + 1 < argc && !std::strcmp(argv[i], "--cases")) {
            cases = std::max(1, std::atoi(argv[i + 1]));
        } else {
            std::fprintf(stderr, "usage: planner-figures [--data FOLDER] [--repeats N] [--cases N]\n");
            return 2;
        }
    }
    return hyper::figures::run(data, repeats, cases);
}
