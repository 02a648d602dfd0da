// SPDX-License-Identifier: Apache-2.0
// Sizes as people write them.
#pragma once

#include <cstdint>
#include <string>

#include "blockengine/base/result.h"

namespace hyper::ctl {

// "65536", "64K", "2M": as qemu-img takes sizes, in bytes. Errors: EINVAL for anything else.
Result<uint64_t> parse_size(const std::string& text);

}  // namespace hyper::ctl
