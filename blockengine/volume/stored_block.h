// SPDX-License-Identifier: Apache-2.0
// One block as it is stored: whether what is in the data file is what was put there.
#pragma once

#include <string>

#include "blockengine/volume/volume.h"

namespace hyper {

enum class Verdict {
    good,
    corrupt,        // read, and not what was written
    could_not_tell  // not read: the disk or the system failed, which may pass
};

struct Judged {
    Verdict verdict = Verdict::good;
    std::string why;
};

// Reads what is stored, past all caches of this process, and checks its hash. Zeros are always good, what is lost is corrupt.
Judged judge(const Volume& volume, const BlockEntry& entry);

}  // namespace hyper
