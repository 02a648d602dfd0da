// SPDX-License-Identifier: Apache-2.0
// How often somebody may ask: a bucket of tokens for each origin. Bound to one thread, or guarded by its owner's mutex; time is a parameter.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <string>

namespace hyper::hyperd {

class RateLimit {
  public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr size_t origins_max = 4096;

    RateLimit(double per_second, double burst) : per_second_(per_second), burst_(burst) {}

    // Zero where one more request is let in; else how long to wait for it.
    std::chrono::milliseconds take(const std::string& origin, Time now);

  private:
    struct Bucket {
        double left = 0;
        Time at{};
    };
    void forget_full(Time now);
    double filled(const Bucket& bucket, Time now) const;

    const double per_second_, burst_;
    std::map<std::string, Bucket> buckets_;
};

}  // namespace hyper::hyperd
