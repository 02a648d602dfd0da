// SPDX-License-Identifier: Apache-2.0
#include "tools/hyperctl/progress.h"

#include <fmt/format.h>

#include <cstdio>

#include "tools/hyperctl/table.h"

namespace hyper::ctl {

Progress::Progress(Shown shown, uint64_t total_bytes) : shown_(shown), total_bytes_(total_bytes), drawn_(start_) {
    if (shown_ != Shown::no) draw(start_);
}

Progress::~Progress() {
    if (shown_ == Shown::no) return;
    draw(Clock::now());
    if (shown_ == Shown::text) fmt::print(stderr, "\n");
}

void Progress::add(uint64_t bytes) {
    std::lock_guard lock(mutex_);
    done_bytes_ += bytes;
    auto now = Clock::now();
    if (shown_ == Shown::no || now - drawn_ < std::chrono::milliseconds(200)) return;
    drawn_ = now;
    draw(now);
}

void Progress::draw(Clock::time_point now) {
    if (shown_ == Shown::json) {
        fmt::print(stderr, "{{\"done-bytes\": {}, \"total-bytes\": {}}}\n", done_bytes_, total_bytes_);
        std::fflush(stderr);
        return;
    }
    auto done = static_cast<double>(done_bytes_), total = static_cast<double>(total_bytes_);
    double seconds = std::chrono::duration<double>(now - start_).count();
    double rate = seconds > 0 ? done / seconds : 0;
    std::string left;
    if (seconds >= 1 && rate > 0 && done_bytes_ < total_bytes_) {  // before that it is a guess
        auto seconds_left = static_cast<uint64_t>((total - done) / rate + 0.5);
        left = fmt::format(", {}:{:02}:{:02} left", seconds_left / 3600, seconds_left / 60 % 60, seconds_left % 60);
    }
    // Spaces at the end wipe what a longer line left.
    fmt::print(stderr, "\r{:5.1f} % of {}, {}/s{}      ", total_bytes_ > 0 ? 100 * done / total : 100.0,
               human_bytes(total_bytes_), human_bytes(static_cast<uint64_t>(rate)), left);
    std::fflush(stderr);
}

}  // namespace hyper::ctl
