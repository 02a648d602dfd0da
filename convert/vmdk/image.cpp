// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "convert/vmdk/vmdk.h"

namespace hyper {

Result<std::shared_ptr<const Image>> open_vmdk(Opening&, std::shared_ptr<const File> file) {
    return fail(ENOTSUP, "{}: vmdk is not read yet", file->path());
}

}  // namespace hyper
