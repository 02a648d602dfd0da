// SPDX-License-Identifier: Apache-2.0
// What changed between two generations of a volume.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "blockengine/change_map.h"
#include "blockengine/volume/volume.h"

namespace hyper::ctl {

struct VolumeChanges {
    std::shared_ptr<const Volume> volume;
    Generation older, newer;
    std::vector<ChangedRun> runs;  // ascending; whole blocks, but for the last of the larger disk
    uint64_t bytes = 0;            // of all runs
};

// In either order. Errors: those of Volume::find() and Volume::changed().
Result<VolumeChanges> changes_between(std::shared_ptr<const Volume> volume, std::string_view one, std::string_view other);

}  // namespace hyper::ctl
