// SPDX-License-Identifier: Apache-2.0
// A raw image: the bytes as they are. Never probed for anything else.
#pragma once

#include "convert/opening.h"

namespace hyper {

Result<std::shared_ptr<const Image>> open_raw(Opening& opening, std::shared_ptr<const File> file);

}  // namespace hyper
