// SPDX-License-Identifier: Apache-2.0
// qcow2 versions 2 and 3: reader, views and checker.
#pragma once

#include "convert/check.h"
#include "convert/opening.h"
#include "convert/view.h"

namespace hyper {

// Errors as open_image().
Result<std::shared_ptr<const Image>> open_qcow2(Opening& opening, std::shared_ptr<const File> file);

Result<std::shared_ptr<const Source>> make_qcow2_view(const ViewInput& input);

Result<void> check_qcow2(const CheckedFile& file, CheckReport& report);

}  // namespace hyper
