// SPDX-License-Identifier: Apache-2.0
#include "providers/breaker.h"

#include <algorithm>
#include <map>

namespace hyper {

std::shared_ptr<Breaker> Breaker::of(const std::string& endpoint, Clock::duration down_max) {
    static std::mutex mutex;
    static std::map<std::string, std::weak_ptr<Breaker>> all;  // guarded by mutex
    std::lock_guard lock(mutex);
    std::erase_if(all, [](const auto& item) { return item.second.expired(); });
    auto& slot = all[endpoint];
    auto breaker = slot.lock();
    if (!breaker) slot = breaker = std::make_shared<Breaker>(down_max);
    return breaker;
}

Breaker::Admission Breaker::admit(Clock::time_point now) {
    std::lock_guard lock(mutex_);
    if (failures_ < failures_max) return {Admission::go};
    if (now >= probe_at_) {
        // Should the probe never end, the next one follows.
        probe_at_ = now + pause_;
        pause_ = std::min<Clock::duration>(pause_ * 2, pause_max);
        return {Admission::go};
    }
    if (now - down_since_ > down_max_) return {Admission::refused, {}, why_};
    return {Admission::wait, probe_at_};
}

void Breaker::succeeded() {
    std::lock_guard lock(mutex_);
    failures_ = 0;
    pause_ = pause_min;
}

void Breaker::failed(Clock::time_point now, const std::string& why) {
    std::lock_guard lock(mutex_);
    why_ = why;
    if (failures_++ == 0) down_since_ = now;
    if (failures_ == failures_max) probe_at_ = now + pause_;
}

bool Breaker::open() const {
    std::lock_guard lock(mutex_);
    return failures_ >= failures_max;
}

}  // namespace hyper
