// SPDX-License-Identifier: Apache-2.0
// VMDK: reader, views and checker.
#pragma once

#include "convert/check.h"
#include "convert/opening.h"
#include "convert/view.h"

namespace hyper {

// Errors as open_image().
Result<std::shared_ptr<const Image>> open_vmdk(Opening& opening, std::shared_ptr<const File> file);

Result<std::shared_ptr<const Source>> make_vmdk_sparse_view(const ViewInput& input);
Result<std::shared_ptr<const Source>> make_vmdk_stream_view(const ViewInput& input);
Result<std::shared_ptr<const Source>> make_vmdk_flat_descriptor_view(const ViewInput& input);

Result<void> check_vmdk(const CheckedFile& file, CheckReport& report);

}  // namespace hyper
