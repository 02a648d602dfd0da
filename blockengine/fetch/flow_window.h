// SPDX-License-Identifier: Apache-2.0
// How many bytes had better be under way to one place: what fills the path, and not much more.
//
// Design note. What a path carries is its bandwidth times its round trip; less leaves it idle, more only makes a queue in which the
// next request waits. Both are measured with each answer, as BBR does it (Cardwell et al., "BBR: congestion-based congestion
// control", 2016): the bandwidth is the largest rate of the last rounds, a rate being what arrived between a request's start and its
// answer, divided by that time; the round trip is the shortest time to an answer. A round is as long as an answer takes.
// The window is `gain` times the product. So it grows by that factor a round for as long as more under way brings more, and then
// stands with half a window of queue, without which a path that got faster would never be noticed.
// Our own queue hides the true round trip. So every ten seconds the window closes until next to nothing is under way, and the time of the next
// answer counts from then on; sooner, where all answers of a round
// take more than twice the known time, which also ends what was known of the bandwidth. A round that did not use the window says nothing against it.
// Zeros that come much faster than a round trip never went over the path (a provider knows its holes) and say nothing of it.
#pragma once

#include <array>
#include <cstdint>

#include "blockengine/base/bytes.h"

namespace hyper {

// Bound to one thread at a time. Time is the caller's, monotonic.
class FlowWindow {
  public:
    // Less than the smallest is not worth it: where round trips are short, they are as long as it takes this machine to turn to an answer.
    static constexpr uint64_t bytes_min = MiB, bytes_max = 64 * MiB;

    // What a request has to remember from its start to its end.
    struct Sent {
        uint64_t time_ns;
        uint64_t delivered_bytes;
        bool drained;  // was sent while next to nothing was under way, to measure the round trip
    };
    // A request goes out; `in_flight_bytes` are under way without it.
    Sent sent(uint64_t now_ns, uint64_t in_flight_bytes);
    // It was answered with so many bytes.
    void delivered(const Sent& sent, uint64_t bytes, bool zeros, uint64_t now_ns);

    uint64_t bytes() const { return bytes_; }
    // 0 until something is known.
    uint64_t round_trip_ns() const { return round_trip_ns_; }
    uint64_t bytes_per_second() const;

  private:
    static constexpr double gain = 1.5, gain_at_start = 2.5;
    static constexpr uint64_t drained_bytes = 256 * KiB;
    static constexpr uint64_t round_trip_good_ns = 10'000'000'000, doubted_again_ns = 2'000'000'000;
    static constexpr size_t rounds_kept = 10;

    void end_round(uint64_t now_ns);
    void measure_round_trip(const Sent& sent, uint64_t took_ns, uint64_t now_ns);
    void set_bytes();

    uint64_t bytes_ = bytes_min;
    uint64_t delivered_bytes_ = 0;
    uint64_t round_trip_ns_ = 0, round_trip_measured_ns_ = 0;
    uint64_t round_ends_at_bytes_ = 0, round_took_min_ns_ = UINT64_MAX;
    std::array<double, rounds_kept> rates_{};  // the best of each round, bytes a nanosecond
    size_t round_ = 0;
    double best_at_start_ = 0;
    unsigned rounds_without_growth_ = 0;  // three end the start
    bool draining_ = false;
    bool used_ = false;  // this round: at least half of the window
};

}  // namespace hyper
