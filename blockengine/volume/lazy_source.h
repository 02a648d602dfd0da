// SPDX-License-Identifier: Apache-2.0
// What a lazy volume is filled from: `draft/source`, beside the draft that reads from it until all of it is there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "blockengine/base/result.h"
#include "blockengine/change_map.h"

namespace hyper {

struct LazySource {
    std::string name;               // as who opens it understands it: a URI, or a path
    std::string format, snapshot;   // empty: as the name says; the present state
    std::string identity;           // which content it is; what has another is not read
    uint64_t size_bytes = 0;
    bool hydrated = false;          // all of it is in the draft, and it is not needed any more
    std::vector<ChangedRun> first;  // what is fetched before all else, in this order

    static constexpr size_t first_max = 1024;
};

// Errors: EIO for what write_lazy_source() did not write. nullopt where there is none.
Result<std::optional<LazySource>> read_lazy_source(const std::string& draft_folder);
// All or nothing, and durable on return. `draft_folder` is there.
Result<void> write_lazy_source(const std::string& draft_folder, const LazySource& source);

}  // namespace hyper
