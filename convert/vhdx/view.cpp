// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "convert/vhdx/vhdx.h"

namespace hyper {

Result<std::shared_ptr<const Source>> make_vhdx_dynamic_view(const ViewInput& input) {
    return fail(ENOTSUP, "{}: vhdx_dynamic is not written yet", input.file_name);
}

Result<std::shared_ptr<const Source>> make_vhdx_fixed_view(const ViewInput& input) {
    return fail(ENOTSUP, "{}: vhdx_fixed is not written yet", input.file_name);
}

}  // namespace hyper
