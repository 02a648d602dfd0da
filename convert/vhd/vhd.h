// SPDX-License-Identifier: Apache-2.0
// VHD (qemu calls it vpc): reader, views and checker.
#pragma once

#include "convert/check.h"
#include "convert/opening.h"
#include "convert/view.h"

namespace hyper {

// Errors as open_image().
Result<std::shared_ptr<const Image>> open_vhd(Opening& opening, std::shared_ptr<const File> file);

Result<std::shared_ptr<const Source>> make_vhd_dynamic_view(const ViewInput& input);
Result<std::shared_ptr<const Source>> make_vhd_fixed_view(const ViewInput& input);

Result<void> check_vhd(const CheckedFile& file, CheckReport& report);

}  // namespace hyper
