// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "convert/vhdx/vhdx.h"

namespace hyper {

Result<void> check_vhdx(const CheckedFile&, CheckReport&) { return fail(ENOTSUP, "vhdx is not checked yet"); }

}  // namespace hyper
