// SPDX-License-Identifier: Apache-2.0
// One process at a time writes a volume.
#pragma once

#include "blockengine/base/unique_fd.h"
#include "blockengine/volume/volume.h"

namespace hyper {

// Held until the descriptor is closed, also by the process's end. Errors: EBUSY, saying who holds it.
Result<UniqueFd> lock_volume(const VolumePaths& paths);

}  // namespace hyper
