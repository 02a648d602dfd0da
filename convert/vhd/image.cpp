// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "convert/vhd/vhd.h"

namespace hyper {

Result<std::shared_ptr<const Image>> open_vhd(Opening&, std::shared_ptr<const File> file) {
    return fail(ENOTSUP, "{}: vhd is not read yet", file->path());
}

}  // namespace hyper
