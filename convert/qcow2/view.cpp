// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "convert/qcow2/qcow2.h"

namespace hyper {

Result<std::shared_ptr<const Source>> make_qcow2_view(const ViewInput& input) {
    return fail(ENOTSUP, "{}: qcow2 is not written yet", input.file_name);
}

}  // namespace hyper
