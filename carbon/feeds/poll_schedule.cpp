// SPDX-License-Identifier: Apache-2.0
#include "carbon/feeds/poll_schedule.h"

namespace hyper::carbon {
namespace {

using namespace std::chrono;

constexpr Seconds jitter_max = minutes(5);
constexpr Seconds first_wait = seconds(30), first_wait_for_people = minutes(10);
constexpr int doublings_max = 10;

}  // namespace

void PollSchedule::succeeded(Instant now) {
    failures_ = 0;
    next_ = Instant((now.time_since_epoch() / step_ + 1) * step_) + draw(std::min(step_ / 4, jitter_max));
}

void PollSchedule::failed(const FeedFailure& failure, Instant now) {
    bool passes = failure.problem == FeedProblem::too_many || failure.problem == FeedProblem::unavailable || failure.problem == FeedProblem::garbage;
    Seconds wait = (passes ? first_wait : first_wait_for_people) * (int64_t{1} << std::min(failures_, doublings_max));
    failures_++;
    Seconds drawn = Seconds(1) + draw(std::min(wait, wait_max));
    // Who all were told the same time should not come back at the same time.
    if (failure.retry_after > Seconds(0)) drawn = std::max(drawn, failure.retry_after + draw(std::min(failure.retry_after / 10, jitter_max)));
    next_ = now + drawn;
}

}  // namespace hyper::carbon
