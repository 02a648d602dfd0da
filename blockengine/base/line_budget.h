// SPDX-License-Identifier: Apache-2.0
// How many lines a log takes: a burst, and then so many a second, so that a client whose every request fails does not fill the disk.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

namespace hyper {

// Bound to one thread.
class LineBudget {
  public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr int64_t burst = 500, per_second = 20;

    // Whether a line may be written now; one that may not is counted.
    bool take(Time now) {
        auto earned = std::chrono::floor<std::chrono::nanoseconds>(now - since_).count() / (1'000'000'000 / per_second);
        if (earned > 0) {
            left_ = std::min(burst, left_ + earned);
            since_ = left_ == burst ? now : since_ + std::chrono::nanoseconds(earned * (1'000'000'000 / per_second));
        }
        if (left_ == 0) {
            ++left_out_;
            return false;
        }
        --left_;
        return true;
    }
    // How many were not written since the last call.
    uint64_t take_left_out() { return std::exchange(left_out_, 0); }

  private:
    int64_t left_ = burst;
    Time since_{};  // when the last of them was earned
    uint64_t left_out_ = 0;
};

}  // namespace hyper
