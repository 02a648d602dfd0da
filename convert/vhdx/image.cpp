// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "convert/vhdx/vhdx.h"

namespace hyper {

Result<std::shared_ptr<const Image>> open_vhdx(Opening&, std::shared_ptr<const File> file) {
    return fail(ENOTSUP, "{}: vhdx is not read yet", file->path());
}

}  // namespace hyper
