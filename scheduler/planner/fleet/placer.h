// SPDX-License-Identifier: Apache-2.0
// Seeks the place of one job of a fleet: the rules of planner.h, with windows and many limits, at the speed that a fleet needs. All sums of a job
// are one array over the fleet's steps, and a step has two candidates: the start at its beginning, and the start within it whose run ends where
// a step does. Bound to one thread.
#pragma once

#include <optional>

#include "scheduler/planner/fleet/run_limits.h"

namespace hyper::scheduler {

class Placer {
  public:
    Placer(const Fleet& fleet, const Frame& frame, const RunLimits& limits);

    // Where the job runs when it must lie within `bounds`. Takes nothing.
    FleetRun place(uint32_t job, Span bounds);
    // Where it would, if there were no limits; nothing where no window has room, or nothing is known.
    std::optional<FleetRun> wish(uint32_t job, Span bounds);
    // Of the run that was made last: its pieces, none if it is whole.
    std::span<const TimeRange> pieces() const { return pieces_; }
    // Whether limits made the run that place() made last heavier than the job wished for, and by how much: infinite if over a limit.
    double regret() const { return regret_; }
    // NaN where it is not known.
    double weight_of(uint32_t job, Span run) const;

    // How often a place was sought.
    uint64_t attempts() const { return attempts_; }

  private:
    // A stretch that is open to the job.
    struct Open {
        Span span;
        int64_t first, last;           // starts; none where first is above last
        int64_t begin_lo, begin_hi;    // steps whose beginning is one
        int64_t within_lo, within_hi;  // steps within which one is whose run ends where a step does
    };
    struct Obey {
        bool windows = true, limits = true, known = true;
    };
    struct Slot {
        int64_t from, until;
        int64_t excess;
        double per_second;
        uint64_t tie;
    };

    void begin(uint32_t job, Span bounds);
    double sum_until(int64_t second) const;
    double weight_from(int64_t start) const { return sum_until(start + length_) - sum_until(start); }
    void find_open(Obey obey);
    void add_open(int64_t from, int64_t until, bool windows);
    void push_open(int64_t from, int64_t until);
    // What the rules say where `open_` is what is free; nothing where it has no room.
    std::optional<FleetRun> choose();
    // The pieces that go over limits by the least, and then are lightest; false if there are too few. Limits that `open_` obeys need no count.
    bool choose_pieces(bool count_excess);
    FleetRun in_pieces(Reason reason) const;
    // The lightest candidate of `open_`, and what the next one weighs; infinite if there is none.
    struct Best {
        double weight, second;
        int64_t start;
    };
    Best lightest() const;
    int64_t pick(double good);
    template <class Visit>
    void visit_candidates(const Open& open, const Visit& visit) const;
    FleetRun at(int64_t start, Reason reason);
    bool fits(const FleetRun& run) const;
    FleetRun forced();
    std::optional<FleetRun> first_open(Reason reason);
    std::optional<FleetRun> least_crowded();

    const Fleet& fleet_;
    const Frame& frame_;
    const RunLimits& limits_;
    uint64_t attempts_ = 0;

    // Of the job at hand.
    uint32_t number_ = 0;
    const FleetJob* job_ = nullptr;
    Span bounds_{};
    int64_t length_ = 0, until_ = 0;  // until_: of the bounds, and of what may be known
    int64_t rest_ = 0;                // of the length, beyond whole steps
    double now_ = 0;
    std::vector<double> sums_;            // of all steps before, for both ends of the run
    std::vector<double> begin_, within_;  // weights of each step's two candidates
    std::vector<uint64_t> blocked_;
    std::vector<Open> open_;
    std::vector<Slot> slots_;
    std::vector<Span> moments_;
    std::vector<TimeRange> pieces_;
    double pieces_weight_ = 0, regret_ = 0;
};

}  // namespace hyper::scheduler
