// SPDX-License-Identifier: Apache-2.0
// Small files, which are replaced as a whole.
#pragma once

#include <string>
#include <string_view>

#include "blockengine/base/result.h"

namespace hyper {

inline constexpr size_t small_file_bytes_max = 64 << 10;

// Errors: what the system says; EFBIG for a longer one.
Result<std::string> read_small_file(const std::string& path, size_t bytes_max = small_file_bytes_max);
// All or nothing, and on the disk on return.
Result<void> write_small_file(const std::string& path, std::string_view text);
// The same in two steps: PATH.new is on the disk on return; then it is PATH, but may be PATH.new again after a power cut.
Result<void> prepare_small_file(const std::string& path, std::string_view text);
Result<void> put_in_place(const std::string& path);
// What was made, renamed or removed in a folder is so on the disk, on return.
Result<void> sync_folder(const std::string& path);

}  // namespace hyper
