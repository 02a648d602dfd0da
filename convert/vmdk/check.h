// SPDX-License-Identifier: Apache-2.0
// The parts of the strict VMDK checker, see check_vmdk().
#pragma once

#include <string_view>

#include "convert/check.h"
#include "convert/vmdk/layout.h"

namespace hyper::vmdk {

// The grammar of a descriptor; returns the sectors of all extents. `header` is that of the file it is embedded in, or nullptr.
uint64_t check_descriptor(std::string_view text, const SparseHeader* header, CheckReport& report);

// Both directories and all tables of a file that has them in place; grains plain or compressed.
Result<void> check_directories(const CheckedFile& file, const SparseHeader& header, CheckReport& report);

// The markers of a stream whose directory is at its end, from the first to the last.
Result<void> check_stream(const CheckedFile& file, const SparseHeader& header, CheckReport& report);

}  // namespace hyper::vmdk
