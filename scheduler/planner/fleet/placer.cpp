// SPDX-License-Identifier: Apache-2.0
#include "scheduler/planner/fleet/placer.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "scheduler/planner/rounding.h"
#include "scheduler/planner/seed.h"

namespace hyper::scheduler {
namespace {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
constexpr double infinite = std::numeric_limits<double>::infinity();

// The first step from `at` on, before `end`, whose bit is `value`; `end` if there is none.
int64_t next_bit(const std::vector<uint64_t>& bits, int64_t at, int64_t end, bool value) {
    for (; at < end; at = (at | 63) + 1) {
        uint64_t word = (value ? bits[size_t(at) / 64] : ~bits[size_t(at) / 64]) >> (at % 64);
        if (word) return std::min(end, at + std::countr_zero(word));
    }
    return end;
}

int64_t divide_up(int64_t value, int64_t by) {
    return (value + by - 1) / by;
}

}  // namespace

Placer::Placer(const Fleet& fleet, const Frame& frame, const RunLimits& limits) : fleet_(fleet), frame_(frame), limits_(limits) {
    auto steps = size_t(frame.steps());
    sums_.resize(steps + 2), begin_.resize(steps), within_.resize(steps), blocked_.resize(frame.words());
}

void Placer::begin(uint32_t job, Span bounds) {
    attempts_++;
    number_ = job, job_ = &fleet_.jobs[job], bounds_ = bounds;
    length_ = job_->task.length.count(), rest_ = length_ % frame_.step();
    until_ = std::min(bounds.until, frame_.end());
    open_.clear(), pieces_.clear();
    now_ = weight_of(job, {bounds.from, bounds.from + length_});
    int64_t last = until_ - length_;
    if (last < bounds.from) return;
    int64_t step = frame_.step(), whole = length_ / step, from = bounds.from / step, until = divide_up(until_, step);
    const double *source = frame_.sums(job_->source_weights), *target = frame_.sums(job_->target_weights);
    double source_kw = job_->source_kw, target_kw = job_->target_kw;
    for (int64_t i = from; i <= until; i++) sums_[i] = source_kw * source[i] + target_kw * target[i];
    sums_[until + 1] = sums_[until];
    double share = double(rest_) / double(step);
    const double* sums = sums_.data();
    for (int64_t i = from, end = last / step; i <= end; i++) {
        const double* after = sums + i + whole;
        begin_[i] = after[0] + share * (after[1] - after[0]) - sums[i];
        within_[i] = after[1] - sums[i + 1] + share * (sums[i + 1] - sums[i]);
    }
}

double Placer::sum_until(int64_t second) const {
    int64_t step = second / frame_.step();
    double share = double(second % frame_.step()) / double(frame_.step());
    return sums_[step] + share * (sums_[step + 1] - sums_[step]);
}

double Placer::weight_of(uint32_t number, Span run) const {
    if (run.from < 0 || run.until > frame_.end()) return unknown;
    const FleetJob& job = fleet_.jobs[number];
    int64_t first = run.from / frame_.step(), last = (run.until - 1) / frame_.step();
    for (uint32_t weights : {job.source_weights, job.target_weights})
        if (const uint64_t* bits = frame_.unknown(weights))
            for (int64_t i = first; i <= last; i++)
                if (bits[i / 64] >> (i % 64) & 1) return unknown;
    double skipped = double(run.from - first * frame_.step()) / double(frame_.step());
    double taken = double(run.until - last * frame_.step()) / double(frame_.step());
    double sum = 0;
    for (auto [weights, kw] : {std::pair(job.source_weights, job.source_kw), std::pair(job.target_weights, job.target_kw)}) {
        const double* sums = frame_.sums(weights);
        double until = sums[last] + taken * (sums[last + 1] - sums[last]);
        sum += double(kw) * (until - sums[first] - skipped * (sums[first + 1] - sums[first]));
    }
    return sum;
}

void Placer::push_open(int64_t from, int64_t until) {
    int64_t last = until - length_;
    if (last < from) {
        if (job_->task.interruptible) open_.push_back({{from, until}, 0, -1, 0, -1, 0, -1});
        return;
    }
    int64_t step = frame_.step(), offset = step - rest_;
    Open open{{from, until}, from, last, divide_up(from, step), last / step, 0, -1};
    if (rest_ > 0) {
        open.within_lo = from / step + (from % step > offset);
        open.within_hi = last / step - (last % step < offset);
    }
    open_.push_back(open);
}

void Placer::add_open(int64_t from, int64_t until, bool windows) {
    if (!windows) return push_open(from, until);
    for (const Span& window : frame_.windows(*job_)) {
        if (window.from >= until) break;
        if (window.until > from) push_open(std::max(from, window.from), std::min(until, window.until));
    }
}

void Placer::find_open(Obey obey) {
    open_.clear(), pieces_.clear();
    std::fill(blocked_.begin(), blocked_.end(), 0);
    if (obey.limits) limits_.add_full(*job_, blocked_.data());
    if (obey.known)
        for (uint32_t weights : {job_->source_weights, job_->target_weights})
            if (const uint64_t* bits = frame_.unknown(weights))
                for (size_t i = 0; i < blocked_.size(); i++) blocked_[i] |= bits[i];
    int64_t step = frame_.step(), until = obey.known ? until_ : bounds_.until;
    int64_t end = std::min(frame_.steps(), divide_up(until, step));
    int64_t open_until = 0;
    for (int64_t i = next_bit(blocked_, bounds_.from / step, end, false); i < end; i = next_bit(blocked_, i, end, false)) {
        int64_t next = next_bit(blocked_, i, end, true);
        open_until = next == end ? until : next * step;
        add_open(std::max(bounds_.from, i * step), open_until, obey.windows);
        i = next;
    }
    // Beyond the last step nothing is counted.
    if (open_until < until && until > frame_.end()) add_open(std::max(bounds_.from, frame_.end()), until, obey.windows);
}

template <class Visit>
void Placer::visit_candidates(const Open& open, const Visit& visit) const {
    int64_t step = frame_.step(), seen = -1;
    auto add = [&](int64_t start, double weight) {
        if (start > seen) visit(start, weight);
        seen = start;
    };
    add(open.first, weight_from(open.first));
    for (int64_t i = open.first / step; i <= open.last / step; i++) {
        if (i >= open.begin_lo && i <= open.begin_hi) add(i * step, begin_[i]);
        if (i >= open.within_lo && i <= open.within_hi) add(i * step + step - rest_, within_[i]);
    }
    if (open.last > seen) add(open.last, weight_from(open.last));
}

Placer::Best Placer::lightest() const {
    Best best{infinite, infinite, 0};
    // A candidate that does not count is the rule: so the comparison is foreseen, and no step waits for the one before.
    auto consider = [&](double weight, int64_t start) {
        if (weight >= best.second) return;
        if (weight < best.weight)
            best = {weight, best.weight, start};
        else
            best.second = weight;
    };
    int64_t step = frame_.step();
    for (const Open& open : open_) {
        if (open.first > open.last) continue;
        if (open.first != open.begin_lo * step) consider(weight_from(open.first), open.first);
        for (int64_t i = open.begin_lo; i <= open.begin_hi; i++) consider(begin_[i], i * step);
        for (int64_t i = open.within_lo; i <= open.within_hi; i++) consider(within_[i], i * step + step - rest_);
        if (open.last != open.begin_hi * step && open.last != open.first) consider(weight_from(open.last), open.last);
    }
    return best;
}

// One of the moments at which starting weighs at most `good`, by the seed: of the candidates, and of all between two neighbours that do.
int64_t Placer::pick(double good) {
    moments_.clear();  // both ends good
    for (const Open& open : open_) {
        if (open.first > open.last) continue;
        bool joins = false;
        visit_candidates(open, [&](int64_t start, double weight) {
            bool is_good = weight <= good;
            if (is_good && joins) moments_.back().until = start - 1;
            if (is_good) moments_.push_back({start, start});
            joins = is_good;
        });
    }
    uint64_t count = 0;
    for (const Span& span : moments_) count += uint64_t(span.until - span.from) + 1;
    uint64_t chosen = mix(job_->task.seed) % count;
    for (const Span& span : moments_) {
        uint64_t here = uint64_t(span.until - span.from) + 1;
        if (chosen < here) return span.from + int64_t(chosen);
        chosen -= here;
    }
    return moments_.back().until;
}

std::optional<FleetRun> Placer::choose() {
    const Task& task = job_->task;
    auto [best, second, start] = lightest();
    bool now_fits = !open_.empty() && open_[0].first == bounds_.from && open_[0].first <= open_[0].last;
    if (task.interruptible && choose_pieces(false)) {
        double gain_min = std::max(rounding(now_), task.gain_min * std::abs(now_));
        bool lighter = pieces_weight_ < best - (best < infinite ? rounding(best) : 0);
        if (lighter && !(now_fits && pieces_weight_ >= now_ - gain_min)) return in_pieces(Reason::lightest);
    }
    pieces_.clear();
    if (best == infinite) return std::nullopt;
    if (now_fits && best >= now_ - rounding(now_)) return at(bounds_.from, Reason::now_is_best);
    if (now_fits && best >= now_ - task.gain_min * std::abs(now_)) return at(bounds_.from, Reason::gain_too_small);
    double good = best + std::max(rounding(best), task.equal_within * std::abs(now_fits ? now_ : best));
    if (now_fits) good = std::min(good, now_ - rounding(now_));
    return at(second <= good ? pick(good) : start, Reason::lightest);
}

bool Placer::choose_pieces(bool count_excess) {
    int64_t step = frame_.step();
    auto part_count = ptrdiff_t(length_ / step + 1);
    slots_.clear();
    for (const Open& open : open_)
        for (int64_t from = open.span.from; from < open.span.until;) {
            int64_t until = std::min(open.span.until, (from / step + 1) * step);
            uint64_t tie = mix(job_->task.seed ^ mix(uint64_t(frame_.instant(from).time_since_epoch().count())));
            int64_t excess = count_excess ? limits_.excess(*job_, {from / step, from / step}) : 0;
            slots_.push_back({from, until, excess, (sum_until(until) - sum_until(from)) / double(until - from), tie});
            part_count += until - from < step;
            from = until;
        }
    auto lighter = [](const Slot& a, const Slot& b) {
        if (a.excess != b.excess) return a.excess < b.excess;
        return a.per_second != b.per_second ? a.per_second < b.per_second : a.tie != b.tie ? a.tie < b.tie : a.from < b.from;
    };
    // That many are enough, if all are.
    auto enough = slots_.begin() + std::min(part_count, slots_.end() - slots_.begin());
    std::partial_sort(slots_.begin(), enough, slots_.end(), lighter);
    int64_t left = length_;
    auto slot = slots_.begin();
    for (; slot != enough && left > 0; slot++) {
        slot->until = std::min(slot->until, slot->from + left);
        left -= slot->until - slot->from;
    }
    if (left > 0) return false;
    std::sort(slots_.begin(), slot, [](const Slot& a, const Slot& b) { return a.from < b.from; });
    pieces_weight_ = 0;
    for (auto each = slots_.begin(); each != slot; each++) {
        pieces_weight_ += sum_until(each->until) - sum_until(each->from);
        if (!pieces_.empty() && pieces_.back().until == frame_.instant(each->from))
            pieces_.back().until = frame_.instant(each->until);
        else
            pieces_.push_back({frame_.instant(each->from), frame_.instant(each->until)});
    }
    return true;
}

FleetRun Placer::in_pieces(Reason reason) const {
    FleetRun made{{pieces_.front().from, pieces_.back().until}, pieces_weight_, now_};
    made.piece_count = pieces_.size() > 1 ? uint32_t(pieces_.size()) : 0;
    made.reason = reason;
    return made;
}

FleetRun Placer::at(int64_t start, Reason reason) {
    pieces_.clear();
    FleetRun made{{frame_.instant(start), frame_.instant(start + length_)}, weight_of(number_, {start, start + length_}), now_};
    made.reason = reason;
    return made;
}

bool Placer::fits(const FleetRun& run) const {
    if (!run.piece_count) return limits_.fits(*job_, frame_.touched({frame_.seconds(run.run.from), frame_.seconds(run.run.until)}));
    return std::all_of(pieces_.begin(), pieces_.end(), [&](const TimeRange& piece) {
        return limits_.fits(*job_, frame_.touched({frame_.seconds(piece.from), frame_.seconds(piece.until)}));
    });
}

FleetRun Placer::place(uint32_t job, Span bounds) {
    begin(job, bounds);
    regret_ = 0;
    int64_t slack = bounds.until - length_ - bounds.from;
    if (slack < 0) return at(bounds.from, Reason::deadline);
    find_open({.limits = false});
    auto made = choose();
    if (made && !fits(*made)) {
        double wished = made->weight;
        find_open({});
        made = choose();
        regret_ = made ? std::max(0.0, made->weight - wished - rounding(wished)) : infinite;
    }
    if (!made) {
        find_open({.known = false});
        made = first_open(Reason::no_outlook);
    }
    if (!made) return forced();
    if (slack == 0) made->reason = Reason::deadline;
    return *made;
}

std::optional<FleetRun> Placer::wish(uint32_t job, Span bounds) {
    begin(job, bounds);
    if (bounds.until - length_ < bounds.from) return std::nullopt;
    find_open({.limits = false});
    return choose();
}

std::optional<FleetRun> Placer::first_open(Reason reason) {
    for (const Open& open : open_)
        if (open.first <= open.last) return at(open.first, reason);
    return std::nullopt;
}

// The deadline can only be kept by breaking something else: limits, or else windows, or else both.
FleetRun Placer::forced() {
    regret_ = infinite;
    if (job_->task.interruptible) {
        find_open({.limits = false});
        if (choose_pieces(true)) return in_pieces(Reason::no_capacity);
    }
    find_open({.limits = false, .known = false});
    if (auto made = least_crowded()) return *made;
    regret_ = 0;
    find_open({.windows = false});
    auto made = choose();
    if (!made) {
        find_open({.windows = false, .known = false});
        made = first_open(Reason::no_window);
    }
    if (made) {
        made->reason = Reason::no_window;
        return *made;
    }
    regret_ = infinite;
    find_open({.windows = false, .limits = false, .known = false});
    return *least_crowded();
}

std::optional<FleetRun> Placer::least_crowded() {
    std::optional<int64_t> best;
    int64_t best_excess = 0;
    double best_weight = 0;
    auto consider = [&](int64_t start) {
        int64_t excess = limits_.excess(*job_, frame_.touched({start, start + length_}));
        double weight = weight_of(number_, {start, start + length_});
        bool lighter = excess == best_excess && (weight < best_weight || (std::isnan(best_weight) && !std::isnan(weight)));
        if (!best || excess < best_excess || lighter) best = start, best_excess = excess, best_weight = weight;
    };
    for (const Open& open : open_) {
        if (open.first > open.last) continue;
        consider(open.first);
        for (int64_t i = open.begin_lo; i <= std::min(open.begin_hi, frame_.steps()); i++) consider(i * frame_.step());
        consider(open.last);
    }
    if (!best) return std::nullopt;
    return at(*best, Reason::no_capacity);
}

}  // namespace hyper::scheduler
