// SPDX-License-Identifier: Apache-2.0
// Landlock by its three system calls, since Debian 12's headers know less than its kernels.
#pragma once

#include "blockengine/base/result.h"
#include "nbdserver/locks/sandbox.h"

namespace hyper {

// Confines the calling thread, and those that it starts, to these paths, with all that the kernel's
// version of Landlock can hold; gives that version, 0 where there is none and nothing was done. No
// new privileges must be set.
Result<int> restrict_files(const SandboxPaths& paths);

}  // namespace hyper
