// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "convert/vhd/vhd.h"

namespace hyper {

Result<std::shared_ptr<const Source>> make_vhd_dynamic_view(const ViewInput& input) {
    return fail(ENOTSUP, "{}: vhd_dynamic is not written yet", input.file_name);
}

Result<std::shared_ptr<const Source>> make_vhd_fixed_view(const ViewInput& input) {
    return fail(ENOTSUP, "{}: vhd_fixed is not written yet", input.file_name);
}

}  // namespace hyper
