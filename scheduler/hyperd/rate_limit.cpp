// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/rate_limit.h"

#include <algorithm>
#include <cmath>

namespace hyper::hyperd {

double RateLimit::filled(const Bucket& bucket, Time now) const {
    return std::min(burst_, bucket.left + std::chrono::duration<double>(now - bucket.at).count() * per_second_);
}

// A full bucket says nothing: who comes back gets a new one.
void RateLimit::forget_full(Time now) {
    std::erase_if(buckets_, [&](const auto& entry) { return filled(entry.second, now) >= burst_; });
    if (buckets_.size() >= origins_max) buckets_.erase(buckets_.begin());
}

std::chrono::milliseconds RateLimit::take(const std::string& origin, Time now) {
    auto found = buckets_.find(origin);
    if (found == buckets_.end()) {
        if (buckets_.size() >= origins_max) forget_full(now);
        found = buckets_.emplace(origin, Bucket{burst_, now}).first;
    }
    Bucket& bucket = found->second;
    bucket = {filled(bucket, now), now};
    constexpr double rounding = 1e-6;  // a millisecond that is waited must be enough
    if (bucket.left < 1 - rounding) return std::chrono::milliseconds(static_cast<int64_t>(std::ceil((1 - rounding - bucket.left) / per_second_ * 1000)));
    bucket.left -= 1;
    return {};
}

}  // namespace hyper::hyperd
