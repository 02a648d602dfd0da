// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "convert/qcow2/qcow2.h"

namespace hyper {

Result<std::shared_ptr<const Image>> open_qcow2(Opening&, std::shared_ptr<const File> file) {
    return fail(ENOTSUP, "{}: qcow2 is not read yet", file->path());
}

}  // namespace hyper
