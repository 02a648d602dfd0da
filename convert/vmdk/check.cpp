// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "convert/vmdk/vmdk.h"

namespace hyper {

Result<void> check_vmdk(const CheckedFile&, CheckReport&) { return fail(ENOTSUP, "vmdk is not checked yet"); }

}  // namespace hyper
