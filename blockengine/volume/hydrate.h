// SPDX-License-Identifier: Apache-2.0
// Fills a draft from its base until it needs the base no more, while others read and write it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "blockengine/change_map.h"
#include "blockengine/volume/draft.h"

namespace hyper {

struct HydrateOptions {
    // Told of each part that is there now, in bytes of the disk.
    std::function<void(uint64_t)> done{};
    // Asked often: true ends the work with ECANCELED.
    std::function<bool()> stop{};
};

// Reads `base`, the draft's own, from front to back, the ranges of `first` before that, where the draft has nothing yet. Reads go one after
// the other, so that those of others are not kept waiting. On return all is there and durable. Errors: what the base or the disk gives; what was
// fetched until then is kept.
Result<void> hydrate(Engine& engine, Draft& draft, const Source& base, std::span<const ChangedRun> first, const HydrateOptions& options);

}  // namespace hyper
