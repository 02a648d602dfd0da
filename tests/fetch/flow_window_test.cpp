// SPDX-License-Identifier: Apache-2.0
#include "blockengine/fetch/flow_window.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

namespace hyper {
namespace {

constexpr uint64_t ms = 1'000'000;

// A path with a clock of its own: a link of some bandwidth behind a round trip, always as full as the window says.
class Path {
  public:
    uint64_t round_trip_ns = 50 * ms;
    double bytes_per_ns = 0.125;  // 1 Gbit/s
    uint64_t request_bytes = MiB;
    bool zeros = false;

    // Runs for so long; what was delivered meanwhile.
    uint64_t run(FlowWindow& window, uint64_t duration_ns) {
        uint64_t end = now_ + duration_ns, delivered = 0;
        while (now_ < end) {
            while (in_flight_ == 0 || in_flight_ + request_bytes <= window.bytes()) send(window);
            Request request = requests_.front();
            requests_.pop_front();
            now_ = std::max(now_, request.done_ns);
            in_flight_ -= request.bytes;
            delivered += request.bytes;
            window.delivered(request.sent, request.bytes, request.zeros, now_);
        }
        return delivered;
    }
    uint64_t carried() const { return static_cast<uint64_t>(static_cast<double>(round_trip_ns) * bytes_per_ns); }

  private:
    struct Request {
        FlowWindow::Sent sent;
        uint64_t bytes, done_ns;
        bool zeros;
    };
    void send(FlowWindow& window) {
        auto sent = window.sent(now_, in_flight_);
        in_flight_ += request_bytes;
        uint64_t done = now_;
        if (!zeros) {
            link_free_ns_ = std::max(link_free_ns_, now_ + round_trip_ns) + static_cast<uint64_t>(static_cast<double>(request_bytes) / bytes_per_ns);
            done = link_free_ns_;
        } else {
            done = now_ + ms / 20;
        }
        requests_.push_back({sent, request_bytes, done, zeros});
    }

    uint64_t now_ = 1000 * ms, link_free_ns_ = 0, in_flight_ = 0;
    std::deque<Request> requests_;
};

TEST(FlowWindow, opens_to_what_the_path_carries_within_a_second_and_fills_it) {
    FlowWindow window;
    Path path;
    path.run(window, 1000 * ms);
    EXPECT_GT(window.bytes(), path.carried());
    uint64_t delivered = path.run(window, 60'000 * ms);
    EXPECT_GT(static_cast<double>(delivered), 0.98 * 60'000 * static_cast<double>(ms) * path.bytes_per_ns);
}

TEST(FlowWindow, stays_below_twice_what_the_path_carries) {
    FlowWindow window;
    Path path;
    path.run(window, 2000 * ms);
    for (int i = 0; i < 600; ++i) {
        path.run(window, 100 * ms);
        // A request of its own is part of each round trip.
        EXPECT_LT(window.bytes(), 2 * (path.carried() + path.request_bytes)) << "after " << i << " tenths of a second";
    }
}

TEST(FlowWindow, stays_within_its_bounds) {
    FlowWindow window;
    Path slow;
    slow.bytes_per_ns = 0.001;
    slow.request_bytes = 64 * KiB;
    slow.run(window, 60'000 * ms);
    EXPECT_GE(window.bytes(), FlowWindow::bytes_min);
    EXPECT_LE(window.bytes(), 2 * FlowWindow::bytes_min);
    FlowWindow other;
    Path fast;
    fast.bytes_per_ns = 12;
    fast.run(other, 10'000 * ms);
    EXPECT_EQ(other.bytes(), FlowWindow::bytes_max);
}

TEST(FlowWindow, notices_that_a_path_got_faster_and_slower) {
    FlowWindow window;
    Path path;
    path.run(window, 3000 * ms);
    path.bytes_per_ns = 0.5;
    path.run(window, 2000 * ms);
    EXPECT_GT(window.bytes(), path.carried());
    path.bytes_per_ns = 0.025;
    path.run(window, 20'000 * ms);
    EXPECT_LT(window.bytes(), 3 * (path.carried() + path.request_bytes));
}

TEST(FlowWindow, notices_that_a_path_got_longer_and_shorter) {
    for (uint64_t then : {90 * ms, 200 * ms, 5 * ms}) {
        FlowWindow window;
        Path path;
        path.run(window, 3000 * ms);
        path.round_trip_ns = then;
        path.run(window, 12'000 * ms);
        EXPECT_GT(window.bytes(), path.carried()) << then;
        EXPECT_LT(window.bytes(), 3 * (path.carried() + path.request_bytes)) << then;
    }
}

TEST(FlowWindow, zeros_that_never_went_over_the_path_say_nothing_of_it) {
    FlowWindow window;
    Path path;
    path.run(window, 3000 * ms);
    uint64_t before = window.bytes();
    path.zeros = true;
    path.run(window, 50 * ms);
    path.zeros = false;
    EXPECT_EQ(window.bytes(), before);
}

TEST(FlowWindow, recovers_where_the_first_answers_were_no_measure) {
    FlowWindow window;
    Path path;
    path.zeros = true;
    path.run(window, 50 * ms);
    path.zeros = false;
    path.run(window, 3000 * ms);
    EXPECT_GT(window.bytes(), path.carried());
}

TEST(FlowWindow, light_use_says_nothing_against_it) {
    FlowWindow window;
    Path path;
    path.run(window, 3000 * ms);
    uint64_t before = window.bytes();
    uint64_t now = 1'000'000 * ms;
    for (int i = 0; i < 50; ++i) {
        auto sent = window.sent(now, 0);
        window.delivered(sent, 65536, false, now += 51 * ms);
    }
    EXPECT_GE(window.bytes(), before / 2);
}

}  // namespace
}  // namespace hyper
