// SPDX-License-Identifier: Apache-2.0
// VHDX: reader, views and checker.
#pragma once

#include "convert/check.h"
#include "convert/opening.h"
#include "convert/view.h"

namespace hyper {

// Errors as open_image().
Result<std::shared_ptr<const Image>> open_vhdx(Opening& opening, std::shared_ptr<const File> file);

Result<std::shared_ptr<const Source>> make_vhdx_dynamic_view(const ViewInput& input);
Result<std::shared_ptr<const Source>> make_vhdx_fixed_view(const ViewInput& input);

Result<void> check_vhdx(const CheckedFile& file, CheckReport& report);

}  // namespace hyper
