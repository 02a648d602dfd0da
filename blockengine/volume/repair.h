// SPDX-License-Identifier: Apache-2.0
// Makes the best of a damaged volume: rebuilds its index from the data files, and says exactly what is lost.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "blockengine/engine.h"
#include "blockengine/volume/verify.h"

namespace hyper {

struct RepairOptions {
    bool rebuild_index = false;  // even if it can be opened
    std::function<void(uint64_t total_bytes)> planned;
    std::function<void(uint64_t bytes)> done;
    std::function<bool()> stop;
};

struct RepairReport {
    bool index_rebuilt = false;
    std::string why_rebuilt;
    std::vector<std::string> damage;   // of data files' own records, with file and offset
    uint64_t blocks = 0;               // stored ones that were read and checked
    struct Lost {
        uint32_t generation;
        BadRange range;
    };
    std::vector<Lost> lost;            // by generation, then offset; what could not be read for now is among it
    std::vector<uint32_t> wrong_roots; // generations that read well, and are not what was committed
    std::vector<std::string> companions;  // those that are lost, with why
    uint32_t generations = 0;

    bool all_good() const { return damage.empty() && lost.empty() && wrong_roots.empty() && companions.empty(); }
};

// Nobody may write the volume meanwhile. The old index, if it is replaced, stays beside the new one as index.old. Lost blocks read as
// EIO from then on, and the next sync stores them anew. Errors: EBUSY; what cannot be repaired at all.
Result<RepairReport> repair_volume(Engine& engine, const std::string& folder, const RepairOptions& options);

}  // namespace hyper
