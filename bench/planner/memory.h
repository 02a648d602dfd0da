// SPDX-License-Identifier: Apache-2.0
// Counts what operator new gave out in this program: linking memory.cpp replaces it. Not for threads that allocate at the same time.
#pragma once

#include <cstddef>

namespace hyper::figures {

// From now on.
void count_from_here();
// The most bytes that were held at one time since then, beyond those that were held then.
size_t bytes_held_max();

}  // namespace hyper::figures
