// SPDX-License-Identifier: Apache-2.0
// QEMU's lock of an image: processes say by locks of single bytes of the file what they do with it (from byte 100) and what others may
// not do meanwhile (from byte 200), as QEMU's docs/system/images describes; bit 1 is writing.
#pragma once

#include <string>

#include "blockengine/base/unique_fd.h"
#include "providers/provider.h"

namespace hyper::provider::libvirt {

// As long as the descriptor is open no QEMU opens the image for writing. Fails with HYPER_RETRY_LATER where one has it open.
Outcome<UniqueFd> lock_image(const std::string& path);

}  // namespace hyper::provider::libvirt
