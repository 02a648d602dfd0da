// SPDX-License-Identifier: Apache-2.0
// Brings the pending generation to what a source has: reads blocks, and stores those that differ. Syncs and commits are made of it.
#pragma once

#include <cstdint>
#include <functional>

#include "blockengine/source.h"
#include "blockengine/volume/block_runs.h"
#include "blockengine/volume/source_reader.h"
#include "blockengine/volume/volume_writer.h"

namespace hyper {

// What came of it, in bytes of the disk but for stored_bytes, which is what data files took.
struct StoreCounts {
    uint64_t read_bytes = 0;       // that were not known to be zeros without reading
    uint64_t different_bytes = 0;  // of blocks that differed from what the volume had
    uint64_t zero_bytes = 0;       // of those that differed and are zeros now
    uint64_t stored_bytes = 0;
};

struct StoreOptions {
    unsigned threads = 2;
    ReadLimits limits;
    // A generation whose blocks are referred to where they are what is to be stored, rather than stored again; 0: none.
    uint32_t refer_to = 0;
    // Told of each part of the disk that is done, in bytes; called by one thread at a time.
    std::function<void(uint64_t)> done;
    // Asked often: true ends the work with ECANCELED.
    std::function<bool()> stop;
};

// Looks at the blocks of `runs` and at no other. Blocks past the source's end are zeros. The writer is used by one thread at a
// time while this runs. Blocks are put in rising order, and with each put `progress` (if it has a source) says how far it came.
Result<StoreCounts> store_blocks(VolumeWriter& writer, const Source& source, const BlockRuns& runs,
                                 const std::optional<VolumeWriter::Progress>& progress, const StoreOptions& options);

// Which blocks may differ from the newest and the pending generation, for a source of which nothing is known: those where it has
// data, and those where they do.
Result<BlockRuns> blocks_to_compare(const VolumeWriter& writer, const Source& source);

}  // namespace hyper
