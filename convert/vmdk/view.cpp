// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "convert/vmdk/vmdk.h"

namespace hyper {

Result<std::shared_ptr<const Source>> make_vmdk_sparse_view(const ViewInput& input) {
    return fail(ENOTSUP, "{}: vmdk_sparse is not written yet", input.file_name);
}

Result<std::shared_ptr<const Source>> make_vmdk_stream_view(const ViewInput& input) {
    return fail(ENOTSUP, "{}: vmdk_stream is not written yet", input.file_name);
}

Result<std::shared_ptr<const Source>> make_vmdk_flat_descriptor_view(const ViewInput& input) {
    return fail(ENOTSUP, "{}: vmdk_flat_descriptor is not written yet", input.file_name);
}

}  // namespace hyper
