// SPDX-License-Identifier: Apache-2.0
// How large the next sync will be and how long it takes, from what was measured of the disk before.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "blockengine/base/instant.h"

namespace hyper::scheduler {

// One sync of a disk, as it was.
struct SyncMeasure {
    std::string source;       // the disk
    Instant at{};             // when it began
    Seconds since{};          // since the point that it was compared with; 0 for the first
    uint64_t changed_bytes = 0;  // that really differed
    uint64_t moved_bytes = 0;    // that were read over the line
    double seconds = 0;
};

struct SyncSize {
    Seconds length{3600};       // expected
    Seconds length_p95{4 * 3600};
    uint64_t bytes = 0, bytes_p95 = 0;  // that will move
    bool measured = false;      // else nothing is known of the disk, and these are cautious guesses
};

// Of a sync `since` after the last one; of the first one where that is 0. Where only the first one was measured, it bounds the later ones. Rates are medians, and their 95th percentile, of the last `measures_used` syncs, with the spread
// of few measurements widened. `bytes_per_second_max`: what limits allow; 0 for no limit.
SyncSize estimate_sync(std::span<const SyncMeasure> measures, Seconds since, uint64_t bytes_per_second_max);

inline constexpr size_t measures_used = 30;

// Of all that the disk holds: as much as the largest first sync that is known moved, at the median rate of all syncs. Nothing where no first one is known.
struct RestoreSize {
    uint64_t bytes = 0;
    Seconds length{};
};
std::optional<RestoreSize> estimate_restore(std::span<const SyncMeasure> measures);

// Drops what no estimate uses: all but the newest `measures_used` and the newest first sync.
void drop_unused(std::vector<SyncMeasure>& measures);

}  // namespace hyper::scheduler
