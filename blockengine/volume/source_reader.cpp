// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/source_reader.h"

#include <algorithm>
#include <cerrno>
#include <thread>

#include "blockengine/base/log.h"

namespace hyper {

using namespace std::chrono_literals;

Result<void> SourceReader::read(uint64_t offset, std::span<std::byte> buffer) {
    for (unsigned tries = 0;; ++tries) {
        TRY(wait_until(turn_for(buffer.size())));
        auto result = engine_.read(source_, offset, buffer);
        if (result || result.error().code == ESTALE || result.error().code == EINVAL || tries == limits_.retries_max) return result;
        log_warning("{}; trying again", result.error().message);
        TRY(wait_until(Clock::now() + backoff(tries)));
    }
}

Result<void> SourceReader::wait_until(Clock::time_point time) const {
    constexpr auto nap_max = 100ms;
    while (Clock::now() < time) {
        if (stop_ && stop_()) return fail(ECANCELED, "interrupted");
        std::this_thread::sleep_for(std::min<Clock::duration>(nap_max, time - Clock::now()));
    }
    return {};
}

// Each read takes its share of the time to come, and begins when what was taken before it is over.
SourceReader::Clock::time_point SourceReader::turn_for(uint64_t bytes) {
    std::lock_guard lock(mutex_);
    auto now = Clock::now(), turn = now;
    auto take = [&](Clock::time_point& free_at, uint64_t amount, uint64_t per_second) {
        if (per_second == 0) return;
        free_at = std::max(free_at, now);
        turn = std::max(turn, free_at);
        free_at += std::chrono::duration_cast<Clock::duration>(
            std::chrono::duration<double>(static_cast<double>(amount) / static_cast<double>(per_second)));
    };
    take(bytes_free_at_, bytes, limits_.bytes_per_second_max);
    take(reads_free_at_, 1, limits_.reads_per_second_max);
    return turn;
}

SourceReader::Clock::duration SourceReader::backoff(unsigned tries) {
    constexpr Clock::duration first = 100ms, longest = 10s;
    Clock::duration most = std::min(longest, first * (1u << std::min(tries, 10u)));
    std::lock_guard lock(mutex_);
    return Clock::duration(std::uniform_int_distribution<Clock::rep>(0, most.count())(draw_));
}

}  // namespace hyper
