// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "convert/vhd/vhd.h"

namespace hyper {

Result<void> check_vhd(const CheckedFile&, CheckReport&) { return fail(ENOTSUP, "vhd is not checked yet"); }

}  // namespace hyper
