// SPDX-License-Identifier: Apache-2.0
// The disk behind an NBD URI, to be written.
#pragma once

#include <string_view>

#include "tools/hyperctl/written_disk.h"

namespace hyper::ctl {

// Whether it begins as one: nbd://, nbds://, nbd+unix://, ...
bool is_nbd_uri(std::string_view name);

// Each thread that writes gets a connection of its own where the server allows several on one disk, else all share one and take turns.
// Errors: EROFS for a read-only export, those of connecting, in libnbd's words.
Result<std::unique_ptr<WrittenDisk>> open_nbd_writer(const std::string& uri);

}  // namespace hyper::ctl
