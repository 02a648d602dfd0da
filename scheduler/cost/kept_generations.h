// SPDX-License-Identifier: Apache-2.0
// How much the generations of a volume take that a retention rule keeps, once it has kept all that it will: what storage is priced by. The rules are those of
// blockengine/volume/retention.h, applied as they are after each generation.
//
// Between two generations that stay next to each other everything that changed is stored once: at most the changes of all intervals between them, and at most
// the disk. A generation that goes takes with it at most the changes of one interval; it was stored since it was made.
#pragma once

#include "blockengine/base/instant.h"
#include "blockengine/volume/retention.h"

namespace hyper::scheduler {

struct GenerationPlan {
    int64_t disk_bytes = 0;    // of data, stored once
    int64_t change_bytes = 0;  // from one generation to the next
    Seconds interval{};
    RetentionRules keep;
    int64_t hours_min = 0;  // that the target bills at least
};

struct KeptGenerations {
    int64_t count = 0;             // at the end
    int64_t stored_bytes = 0;      // on average over the last 730 hours
    int64_t early_byte_hours = 0;  // billed in those for what went before hours_min
};

// EINVAL for an interval under a minute ("every: ..."), and where the rules take more than 100,000 generations to be full ("keep: ..."). So many take a fraction of a
// second, however many of them stay.
Result<KeptGenerations> keep_generations(const GenerationPlan& plan);

}  // namespace hyper::scheduler
