// SPDX-License-Identifier: Apache-2.0
// A job that found no room, or a heavier place than it wished for, takes a place in the steps that it wished for from another job, which then seeks
// the best place that is left; if that one is no better off, it may do the same to a third, and so on. What makes fewer jobs go over a limit is kept,
// then what makes the sum of weights less; the rest is undone.
//
// - Work is bounded by the count of places sought, so the result depends on nothing but the input. Short chains are tried for all jobs first.
// - Two jobs of which one waits for the other never make room for each other: so whatever is undone or kept, dependencies hold.
// - A job that is late keeps its place.
#include "scheduler/planner/fleet/repair.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "scheduler/planner/seed.h"

namespace hyper::scheduler {
namespace {

constexpr uint64_t attempts_max = 30'000;
constexpr int chain_max = 3;

// Of one run, or of several.
struct Cost {
    int over = 0;     // runs that are over a limit
    int unknown = 0;  // runs of which no weight is known
    double weight = 0;

    Cost operator+(const Cost& other) const { return {over + other.over, unknown + other.unknown, weight + other.weight}; }
    Cost operator-(const Cost& other) const { return {over - other.over, unknown - other.unknown, weight - other.weight}; }
    // By more than sums may be off.
    bool better_than(const Cost& other) const {
        if (over != other.over || unknown != other.unknown) return over != other.over ? over < other.over : unknown < other.unknown;
        return weight < other.weight - 1e-9 * (std::abs(weight) + std::abs(other.weight));
    }
};

Cost cost_of(const FleetRun& run) {
    bool unknown = std::isnan(run.weight);
    return {run.reason == Reason::no_capacity, unknown, unknown ? 0 : run.weight};
}

class Repair {
  public:
    Repair(const Fleet& fleet, const FleetOrder& order, Schedule& schedule, const Frame& frame, std::vector<uint32_t> wanting)
        : fleet_(fleet), order_(order), schedule_(schedule), frame_(frame), wanting_(std::move(wanting)), listed_(fleet.jobs.size()) {
        for (uint32_t job : wanting_) listed_[job] = true;
        auto count = fleet.jobs.size();
        at_source_ = JobLists(fleet.source_runs_max.size(), [&](auto visit) {
            for (uint32_t job = 0; job < count; job++) visit(fleet.jobs[job].source, job);
        });
        at_target_ = JobLists(fleet.target_runs_max.size(), [&](auto visit) {
            for (uint32_t job = 0; job < count; job++) visit(fleet.jobs[job].target, job);
        });
    }

    void chains() {
        attempts_end_ = schedule_.placer().attempts() + attempts_max;
        for (size_t i = 0; i < wanting_.size() && schedule_.placer().attempts() < attempts_end_; i++)
            if (schedule_.run(wanting_[i]).reason == Reason::no_capacity && !try_again(wanting_[i], 1)) make_way(wanting_[i]);
        for (int length = 1; length <= chain_max; length++) {
            bool better = true;
            for (round_ = 0; (better || round_ < 6) && round_ < 16; round_++) {
                better = false;
                // Jobs that moved on for another join the list meanwhile.
                for (size_t i = 0; i < wanting_.size() && schedule_.placer().attempts() < attempts_end_; i++)
                    better = try_again(wanting_[i], length) || better;
            }
        }
    }

    // No job is left over a limit, or heavier than running at once, where there is room for it now. That can only be one that was kept from a
    // better place, or one that waits for another that has moved.
    void settle() {
        for (uint32_t job : order_.jobs())
            if (!listed_[job] && !order_.before(job).empty()) wanting_.push_back(job);
        bool moved = true;
        while (moved) {
            moved = false;
            for (uint32_t job : wanting_) {
                if (!order_.before(job).empty()) schedule_.renew_weight_now(job);
                const FleetRun& run = schedule_.run(job);
                if (run.weight > run.weight_now || run.reason == Reason::no_capacity) moved = try_again(job, 0) || moved;
            }
        }
    }

  private:
    using Others = std::array<uint32_t, 16>;

    bool try_again(uint32_t job, int length) {
        if (is_late(job)) return false;
        FleetRun was = schedule_.remove(job);
        if (insert(job, length, cost_of(was))) return true;
        schedule_.restore(job, was);
        return false;
    }

    bool is_late(uint32_t job) const { return schedule_.run(job).reason == Reason::deadline; }

    // Places a job that is not, so that it and all that move for it cost less than `allowed`; or else leaves everything as it was.
    bool insert(uint32_t job, int length, Cost allowed) {
        FleetRun alone = schedule_.seek(job);
        if (cost_of(alone).better_than(allowed)) {
            schedule_.put(job, alone);
            return true;
        }
        if (length == 0) return false;
        Others others;
        size_t count = find_others(job, alone.reason == Reason::no_capacity || round_ % 2 == 1, others);
        for (size_t i = 0; i < count && schedule_.placer().attempts() < attempts_end_; i++) {
            uint32_t other = others[i];
            FleetRun was = schedule_.remove(other);
            FleetRun mine = schedule_.seek(job);
            if (cost_of(mine).better_than(cost_of(alone))) {
                schedule_.put(job, mine);
                if (insert(other, length - 1, allowed + cost_of(was) - cost_of(mine))) {
                    list(other);
                    return true;
                }
                schedule_.take_back(job);
            }
            schedule_.restore(other, was);
        }
        return false;
    }

    // Moves others out of the steps in which a job goes over a limit, one after the other, as far as they find room elsewhere.
    void make_way(uint32_t job) {
        auto rows = schedule_.limits().rows(fleet_.jobs[job]);
        for (uint32_t row : {rows.source, rows.target, rows.global}) {
            StepRange over = steps_where(schedule_.pieces_of(job), [&](int64_t step) { return schedule_.limits().over(row, step); });
            if (over.first > over.last) continue;
            Others others;
            size_t count = find_in(job, row, over, others);
            for (size_t i = 0; i < count; i++) {
                FleetRun was = schedule_.remove(others[i]);
                FleetRun elsewhere = schedule_.seek(others[i]);
                if (elsewhere.reason == Reason::no_capacity || elsewhere.reason == Reason::no_window)
                    schedule_.restore(others[i], was);
                else
                    schedule_.put(others[i], elsewhere), list(others[i]);
            }
        }
        try_again(job, 0);
    }

    void list(uint32_t job) {
        if (!listed_[job]) wanting_.push_back(job);
        listed_[job] = true;
    }

    // From the first step of some pieces of which `is_so` holds to the last.
    template <class IsSo>
    StepRange steps_where(std::span<const TimeRange> pieces, const IsSo& is_so) const {
        StepRange found{INT64_MAX, -1};
        schedule_.visit_steps(pieces, [&](StepRange steps) {
            for (int64_t i = steps.first; i <= steps.last; i++)
                if (is_so(i)) found = {std::min(found.first, i), i};
        });
        return found;
    }

    // Some of the jobs that are in full steps that the job wishes for, or that it could use at all.
    size_t find_others(uint32_t job, bool any_step, Others& others) {
        Span bounds = schedule_.bounds(job);
        TimeRange whole{frame_.instant(bounds.from), frame_.instant(bounds.until)};
        std::span<const TimeRange> wanted(&whole, 1);
        auto wished = any_step ? std::nullopt : schedule_.placer().wish(job, bounds);
        if (wished) wanted = wished->piece_count ? schedule_.placer().pieces() : std::span<const TimeRange>(&wished->run, 1);
        auto rows = schedule_.limits().rows(fleet_.jobs[job]);
        std::array order{rows.source, rows.target, rows.global};
        if (any_step) std::rotate(order.begin(), order.begin() + round_ / 2 % 3, order.end());
        for (uint32_t row : order) {
            StepRange full = steps_where(wanted, [&](int64_t step) { return schedule_.limits().full(row, step); });
            if (full.first <= full.last) return find_in(job, row, full, others);
        }
        return 0;
    }

    // Some of those that count in a row of the job's and are in full steps of these.
    size_t find_in(uint32_t job, uint32_t row, StepRange full, Others& others) const {
        const FleetJob& mine = fleet_.jobs[job];
        auto rows = schedule_.limits().rows(mine);
        auto among = [&](std::span<const uint32_t> jobs) {
            return collect(job, row, full, jobs.size(), [&](size_t i) { return jobs[i]; }, others);
        };
        if (row == rows.source) return among(at_source_.of(mine.source));
        if (row == rows.target) return among(at_target_.of(mine.target));
        return collect(job, row, full, fleet_.jobs.size(), [](size_t i) { return uint32_t(i); }, others);
    }

    // From a place on that differs by job and round.
    template <class JobAt>
    size_t collect(uint32_t job, uint32_t row, StepRange full, size_t among, const JobAt& job_at, Others& others) const {
        constexpr size_t looked_at_max = 512;
        Instant from = frame_.instant(full.first * frame_.step()), until = frame_.instant((full.last + 1) * frame_.step());
        size_t count = 0, begin = mix(fleet_.jobs[job].task.seed + job + round_) % among;
        for (size_t i = 0; i < std::min(among, looked_at_max) && count < others.size(); i++) {
            uint32_t other = job_at(begin + i < among ? begin + i : begin + i - among);
            const FleetRun& run = schedule_.run(other);
            if (run.run.from >= until || run.run.until <= from || other == job || is_late(other) || related(job, other)) continue;
            bool there = false;
            schedule_.visit_steps(schedule_.pieces_of(other), [&](StepRange steps) {
                for (int64_t step = std::max(steps.first, full.first); step <= std::min(steps.last, full.last); step++)
                    there = there || schedule_.limits().full(row, step);
            });
            if (there) others[count++] = other;
        }
        return count;
    }

    bool related(uint32_t a, uint32_t b) const {
        auto has = [](std::span<const uint32_t> jobs, uint32_t job) { return std::find(jobs.begin(), jobs.end(), job) != jobs.end(); };
        return has(order_.before(a), b) || has(order_.behind(a), b);
    }

    const Fleet& fleet_;
    const FleetOrder& order_;
    Schedule& schedule_;
    const Frame& frame_;
    std::vector<uint32_t> wanting_;
    std::vector<bool> listed_;  // in wanting_
    JobLists at_source_, at_target_;
    uint64_t attempts_end_ = 0;
    uint64_t round_ = 0;
};

}  // namespace

void repair(const Fleet& fleet, const Frame& frame, const FleetOrder& order, Schedule& schedule, std::vector<uint32_t> wanting) {
    Repair work(fleet, order, schedule, frame, std::move(wanting));
    work.chains();
    work.settle();
}

}  // namespace hyper::scheduler
