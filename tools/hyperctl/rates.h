// SPDX-License-Identifier: Apache-2.0
// A rate that somebody changes while we work.
#pragma once

#include <cstdint>
#include <functional>

#include "blockengine/base/result.h"

namespace hyper::ctl {

// Waits for the first line of a file, which is a rate in bytes a second (50M; 0 for no limit), and gives a function that tells what its newest line says.
// The last one holds when the file ends. Errors: EINVAL where the first line is no rate; a later one that is none is logged.
Result<std::function<uint64_t()>> read_rates(int fd);

}  // namespace hyper::ctl
