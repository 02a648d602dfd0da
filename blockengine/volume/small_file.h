// SPDX-License-Identifier: Apache-2.0
// Files of a few lines, which are replaced as a whole.
#pragma once

#include <string>
#include <string_view>

#include "blockengine/base/result.h"

namespace hyper {

// Errors: what the system says; EFBIG over 64 KiB.
Result<std::string> read_small_file(const std::string& path);
// All or nothing, and on the disk on return.
Result<void> write_small_file(const std::string& path, std::string_view text);
// The same in two steps: PATH.new is on the disk on return; then it is PATH, but may be PATH.new again after a power cut.
Result<void> prepare_small_file(const std::string& path, std::string_view text);
Result<void> put_in_place(const std::string& path);
// What was made, renamed or removed in a folder is so on the disk, on return.
Result<void> sync_folder(const std::string& path);

}  // namespace hyper
