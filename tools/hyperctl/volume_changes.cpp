// SPDX-License-Identifier: Apache-2.0
#include "tools/hyperctl/volume_changes.h"

#include <algorithm>

namespace hyper::ctl {

Result<VolumeChanges> changes_between(std::shared_ptr<const Volume> volume, std::string_view one, std::string_view other) {
    VolumeChanges changes{std::move(volume), {}, {}, {}, 0};
    changes.older = TRY(changes.volume->find(one));
    changes.newer = TRY(changes.volume->find(other));
    if (changes.older.number > changes.newer.number) std::swap(changes.older, changes.newer);
    if (changes.older.number == changes.newer.number) return changes;
    const uint64_t size = std::max(changes.older.size_bytes, changes.newer.size_bytes), block_bytes = changes.volume->block_bytes();
    BlockRuns blocks = TRY(changes.volume->changed(changes.older.number, changes.newer.number));
    for (const BlockRun& run : blocks.runs()) {
        uint64_t offset = run.first * block_bytes;
        if (offset >= size) break;
        changes.runs.push_back({offset, std::min(run.count * block_bytes, size - offset)});
        changes.bytes += changes.runs.back().length;
    }
    return changes;
}

}  // namespace hyper::ctl
