// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/source_reader.h"

#include <algorithm>
#include <cerrno>
#include <thread>

#include "blockengine/base/log.h"

namespace hyper {

using namespace std::chrono_literals;

void RateMeter::pass(uint64_t per_second, Clock::time_point now) {
    double seconds = std::chrono::duration<double>(now - at_).count();
    at_ = now;
    // What nobody took is not saved up.
    passed_ = per_second == 0 ? taken_ : std::min(taken_, passed_ + seconds * static_cast<double>(per_second));
}

double RateMeter::take(uint64_t amount, uint64_t per_second, Clock::time_point now) {
    pass(per_second, now);
    double place = taken_;
    taken_ += static_cast<double>(amount);
    return place;
}

RateMeter::Clock::duration RateMeter::wait(double place, uint64_t per_second, Clock::time_point now) {
    pass(per_second, now);
    if (per_second == 0 || passed_ >= place) return Clock::duration::zero();
    // At least a little, lest a place that is a fraction of a byte away is asked for all the time.
    std::chrono::duration<double> left(std::min((place - passed_) / static_cast<double>(per_second), 3600.0));
    return std::max<Clock::duration>(std::chrono::duration_cast<Clock::duration>(left), 1us);
}

Result<void> SourceReader::read(uint64_t offset, std::span<std::byte> buffer) {
    for (unsigned tries = 0;; ++tries) {
        TRY(wait_for_turn(buffer.size()));
        auto result = engine_.read(source_, offset, buffer);
        if (result || result.error().code == ESTALE || result.error().code == EINVAL || tries == limits_.retries_max) return result;
        log_warning("{}; trying again", result.error().message);
        TRY(wait_while([until = Clock::now() + backoff(tries)] { return until - Clock::now(); }));
    }
}

Result<void> SourceReader::wait_while(const std::function<Clock::duration()>& left) const {
    constexpr Clock::duration nap_max = 100ms;
    for (Clock::duration wait = left(); wait > Clock::duration::zero(); wait = left()) {
        if (stop_ && stop_()) return fail(ECANCELED, "interrupted");
        std::this_thread::sleep_for(std::min(nap_max, wait));
    }
    return {};
}

Result<void> SourceReader::wait_for_turn(uint64_t bytes) {
    auto bytes_per_second = [&] { return limits_.bytes_per_second_now ? limits_.bytes_per_second_now() : limits_.bytes_per_second_max; };
    double byte_place = 0, read_place = 0;
    {
        std::lock_guard lock(mutex_);
        byte_place = bytes_.take(bytes, bytes_per_second(), Clock::now());
        read_place = reads_.take(1, limits_.reads_per_second_max, Clock::now());
    }
    return wait_while([&] {
        std::lock_guard lock(mutex_);
        auto now = Clock::now();
        return std::max(bytes_.wait(byte_place, bytes_per_second(), now), reads_.wait(read_place, limits_.reads_per_second_max, now));
    });
}

SourceReader::Clock::duration SourceReader::backoff(unsigned tries) {
    constexpr Clock::duration first = 100ms, longest = 10s;
    Clock::duration most = std::min(longest, first * (1u << std::min(tries, 10u)));
    std::lock_guard lock(mutex_);
    return Clock::duration(std::uniform_int_distribution<Clock::rep>(0, most.count())(draw_));
}

}  // namespace hyper
