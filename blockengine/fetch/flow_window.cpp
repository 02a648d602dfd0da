// SPDX-License-Identifier: Apache-2.0
#include "blockengine/fetch/flow_window.h"

#include <algorithm>

namespace hyper {

FlowWindow::Sent FlowWindow::sent(uint64_t now_ns, uint64_t in_flight_bytes) {
    used_ |= in_flight_bytes >= bytes_ / 2;
    return {now_ns, delivered_bytes_, draining_ && in_flight_bytes < drained_bytes};
}

void FlowWindow::delivered(const Sent& sent, uint64_t bytes, bool zeros, uint64_t now_ns) {
    uint64_t took_ns = std::max<uint64_t>(now_ns - sent.time_ns, 1);
    if (zeros && took_ns < round_trip_ns_ / 2) return;
    delivered_bytes_ += bytes;
    double rate = static_cast<double>(delivered_bytes_ - sent.delivered_bytes) / static_cast<double>(took_ns);
    double& best = rates_[round_ % rounds_kept];
    best = std::max(best, rate);
    round_took_min_ns_ = std::min(round_took_min_ns_, took_ns);
    measure_round_trip(sent, took_ns, now_ns);
    if (sent.delivered_bytes >= round_ends_at_bytes_) end_round(now_ns);
    set_bytes();
}

void FlowWindow::measure_round_trip(const Sent& sent, uint64_t took_ns, uint64_t now_ns) {
    if (round_trip_ns_ == 0 || took_ns <= round_trip_ns_ || (sent.drained && draining_)) {
        round_trip_ns_ = took_ns;
        round_trip_measured_ns_ = now_ns;
        draining_ = false;
    } else if (now_ns - round_trip_measured_ns_ > round_trip_good_ns) {
        draining_ = true;
    }
}

// Called with the first answer to a request that was sent after the last round had ended.
void FlowWindow::end_round(uint64_t now_ns) {
    if (round_took_min_ns_ > 2 * round_trip_ns_ && round_took_min_ns_ != UINT64_MAX) {
        double last = rates_[round_ % rounds_kept];
        rates_.fill(0);
        rates_[round_ % rounds_kept] = last;
        draining_ |= now_ns - round_trip_measured_ns_ > doubted_again_ns;
    }
    double best = *std::ranges::max_element(rates_);
    if (used_) {
        rounds_without_growth_ = best > best_at_start_ * 1.25 ? 0 : rounds_without_growth_ + 1;
        best_at_start_ = std::max(best_at_start_, best);
        rates_[++round_ % rounds_kept] = 0;
    }
    used_ = false;
    round_ends_at_bytes_ = delivered_bytes_;
    round_took_min_ns_ = UINT64_MAX;
}

void FlowWindow::set_bytes() {
    double carried = *std::ranges::max_element(rates_) * static_cast<double>(round_trip_ns_);
    double factor = rounds_without_growth_ < 3 ? gain_at_start : gain;
    bytes_ = draining_ ? drained_bytes : std::clamp(static_cast<uint64_t>(carried * factor), bytes_min, bytes_max);
}

uint64_t FlowWindow::bytes_per_second() const {
    return static_cast<uint64_t>(*std::ranges::max_element(rates_) * 1e9);
}

}  // namespace hyper
