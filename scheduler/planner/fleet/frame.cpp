// SPDX-License-Identifier: Apache-2.0
#include "scheduler/planner/fleet/frame.h"

#include <algorithm>
#include <cassert>
#include <cerrno>

namespace hyper::scheduler {

Result<Frame> Frame::make(const Fleet& fleet) {
    assert(fleet.step.count() > 0 && fleet.steps > 0);
    for ([[maybe_unused]] const FleetJob& job : fleet.jobs) {
        assert(job.task.length.count() > 0 && job.source < fleet.source_runs_max.size() && job.target < fleet.target_runs_max.size());
        assert(job.source_weights < fleet.weights.size() && job.target_weights < fleet.weights.size());
        assert(job.windows == always_open || job.windows < fleet.windows.size());
    }
    Frame frame;
    frame.start_ = fleet.start;
    frame.step_ = fleet.step.count();
    frame.steps_ = fleet.steps;
    frame.words_ = (fleet.steps + 63) / 64;
    for (const auto& policy : fleet.windows) {
        auto& spans = frame.windows_.emplace_back();
        for (const TimeRange& window : policy) {
            assert(window.from < window.until && (spans.empty() || spans.back().until < frame.seconds(window.from)));
            spans.push_back({frame.seconds(window.from), frame.seconds(window.until)});
        }
    }
    frame.windows_.push_back({{0, INT64_MAX}});
    TRY(frame.read_weights(fleet));
    return frame;
}

Result<void> Frame::read_weights(const Fleet& fleet) {
    gaps_.resize(fleet.weights.size());
    sums_.reserve(fleet.weights.size() * size_t(steps_ + 1));
    unknown_.resize(fleet.weights.size() * words_);
    for (size_t number = 0; number < fleet.weights.size(); number++) {
        const Weights& weights = fleet.weights[number];
        if (weights.step() % fleet.step != Seconds(0) || (weights.start() - fleet.start) % fleet.step != Seconds(0))
            return fail(EINVAL, "weights {}: steps of {} s from {} on are not on the plan's steps of {} s from {} on (make those finer)", number,
                        weights.step().count(), instant_text(weights.start()), step_, instant_text(start_));
        double sum = 0;
        sums_.push_back(sum);
        for (int64_t i = 0; i < steps_; i++) {
            Instant from = instant(i * step_), until = instant((i + 1) * step_);
            if (weights.known(from, until)) {
                sum += weights.of(from, until);
            } else {
                gaps_[number] = true;
                unknown_[number * words_ + size_t(i) / 64] |= uint64_t(1) << (i % 64);
            }
            sums_.push_back(sum);
        }
    }
    return {};
}

StepRange Frame::touched(Span span) const {
    if (span.until <= 0 || span.from >= end()) return {};
    return {std::max<int64_t>(0, span.from) / step_, std::min(end(), span.until) / step_ - (std::min(end(), span.until) % step_ == 0)};
}

}  // namespace hyper::scheduler
