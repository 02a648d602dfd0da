// SPDX-License-Identifier: Apache-2.0
// Figures 2 and 3: what real forecasts are worth. A job arrives at every hour of July to December 2021 and must have ended when its
// window has; it is planned when it arrives and whenever a new forecast is issued. What is saved is settled with what was measured.
#include "bench/carbon/figures.h"
#include "bench/carbon/traces.h"
#include "carbon/outlook.h"
#include "scheduler/planner/planner.h"
#include "scheduler/planner/seed.h"

namespace hyper::figures {
namespace {

using namespace std::chrono;
using carbon::OutlookMaker;
using scheduler::Plan;
using scheduler::Task;
using scheduler::Weights;

struct Shape {
    int window, length;
    double bar;
};
constexpr Shape shapes[] = {{24, 1, 0.83}, {24, 4, 0.89}, {48, 2, 0.83}, {72, 4, 0.83}};

struct Feed {
    bool issues = true;  // whether forecasts are issued at all
    bool corrected = true;
    double failing = 0;  // share of issues and of measured hours that never arrive
};

// One region's outlook of each day, made with what had arrived by then.
class Days {
  public:
    Days(const Region& region, const Feed& feed, uint64_t seed) : first_(region.issues.front().issued_at) {
        OutlookMaker maker;
        maker.set_corrected(feed.corrected);
        auto fails = [&](Instant at, uint64_t what) {
            uint64_t drawn = scheduler::mix(scheduler::mix(seed * 4 + what) ^ uint64_t(at.time_since_epoch().count()));
            return double(drawn >> 11) * 0x1p-53 < feed.failing;
        };
        std::vector<double> values = region.measured.values();
        for (size_t i = 0; i < values.size(); i++)
            if (region.measured.time_of(i) >= first_ && fails(region.measured.time_of(i), 0)) values[i] = NAN;
        carbon::StepSeries measured(region.measured.start(), region.measured.step(), std::move(values));
        for (const Issue& issue : region.issues) {
            if (feed.issues && !fails(issue.issued_at, 1)) maker.add_issue(issue.issued_at, issue.series, measured);
            days_.emplace_back(maker.make(issue.issued_at, issue.issued_at + days(4), measured).series);
        }
    }

    Instant first() const { return first_; }
    Instant end() const { return first_ + days(days_.size()) + days(3); }
    const Weights& at(Instant now) const { return days_[std::min(days_.size() - 1, size_t((now - first_) / days(1)))]; }
    // When the next outlook is made; never after the last.
    std::optional<Instant> next(Instant now) const {
        auto day = (now - first_) / days(1) + 1;
        if (size_t(day) >= days_.size()) return std::nullopt;
        return first_ + days(day);
    }

  private:
    Instant first_;
    std::vector<Weights> days_;
};

struct Saved {
    double planned = 0, foresight = 0;  // shares of running at once
    int missed = 0;                     // ends after the deadline
};

Saved run_region(const Region& region, const Days& days, const Shape& shape) {
    Weights actual(region.measured);
    double now = 0, best = 0, planned = 0;
    Saved saved;
    for (Instant at = days.first(); at + hours(shape.window) <= days.end(); at += hours(1)) {
        Task task{.length = hours(shape.length), .earliest = at, .latest_end = at + hours(shape.window)};
        Plan oracle = scheduler::plan(task, actual);
        now += oracle.weight_now, best += oracle.weight;
        Instant start;
        while (true) {
            start = scheduler::plan(task, days.at(task.earliest)).runs[0].from;
            auto next = days.next(task.earliest);
            if (!next || start < *next) break;
            task.earliest = *next;
        }
        planned += actual.of(start, start + task.length);
        saved.missed += start + task.length > task.latest_end;
    }
    saved.planned = 1 - planned / now, saved.foresight = 1 - best / now;
    return saved;
}

// Means over the regions; what the worst region saved.
struct Total : Saved {
    double worst = 1;
    std::map<std::string, double> by_region;
};

Total run_all(const std::vector<Region>& regions, const Feed& feed, const Shape& shape, uint64_t seed = 0) {
    Total total;
    for (const Region& region : regions) {
        Saved one = run_region(region, Days(region, feed, seed), shape);
        total.planned += one.planned / double(regions.size());
        total.foresight += one.foresight / double(regions.size());
        total.missed += one.missed;
        total.worst = std::min(total.worst, one.planned);
        total.by_region[region.name] = one.planned / one.foresight;
    }
    return total;
}

}  // namespace

Result<void> issued_forecasts(const std::string& data) {
    auto regions = TRY(read_regions(data));
    for (const Shape& shape : shapes) {
        std::string name = fmt::format("{} h window, {} h job", shape.window, shape.length);
        Total total = run_all(regions, {}, shape);
        at_least(2, name + ": share of foresight's saving", shape.bar, total.planned / total.foresight);
        tell(2, name + ": saved, %", total.planned * 100);
        tell(2, name + ": saved by foresight, %", total.foresight * 100);
        at_least(2, name + ": saved in the worst region, %", 0, total.worst * 100);
        compare(2, name + ": deadlines missed", 0, total.missed, 0);
        Total raw = run_all(regions, {.corrected = false}, shape);
        tell(2, name + ": share without correction", raw.planned / raw.foresight);
        for (const auto& [region, share] : total.by_region) tell(2, name + ": share in " + region, share);
    }
    return {};
}

Result<void> failing_feeds(const std::string& data) {
    auto regions = TRY(read_regions(data));
    for (const Shape& shape : shapes) {
        std::string name = fmt::format("{} h window, {} h job", shape.window, shape.length);
        Total whole = run_all(regions, {}, shape);
        for (double failing : {0.01, 0.1, 1.0}) {
            constexpr int repeats = 5;
            double share = 0, worst = 1;
            int missed = 0;
            for (uint64_t seed = 1; seed <= repeats; seed++) {
                Total total = run_all(regions, {.failing = failing}, shape, seed);
                share += total.planned / whole.planned / repeats;
                worst = std::min(worst, total.worst);
                missed += total.missed;
            }
            std::string fails = fmt::format("{}, {:g} % failing", name, failing * 100);
            if (failing == 0.1)
                at_least(3, fails + ": share of the saving without failures", 0.85, share);
            else
                tell(3, fails + ": share of the saving without failures", share);
            tell(3, fails + ": saved in the worst region, %", worst * 100);
            compare(3, fails + ": deadlines missed", 0, missed, 0);
        }
        Total profile = run_all(regions, {.issues = false}, shape);
        double share = profile.planned / profile.foresight;
        if (shape.window == 24 && shape.length == 1)
            at_least(3, name + ", profile only: share of foresight's saving", 0.70, share);
        else
            tell(3, name + ", profile only: share of foresight's saving", share);
        compare(3, name + ", profile only: deadlines missed", 0, profile.missed, 0);
    }
    return {};
}

}  // namespace hyper::figures
