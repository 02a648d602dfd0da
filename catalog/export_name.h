// SPDX-License-Identifier: Apache-2.0
// What stands behind a disk's name: ".qcow2", ".streamOptimized.vmdk", ".azure.vhd".
#pragma once

#include <optional>
#include <string_view>

#include "blockengine/base/result.h"
#include "convert/profile.h"
#include "convert/view.h"

namespace hyper {

// One of the two is set.
struct ViewWish {
    const ViewKind* kind = nullptr;
    const Profile* profile = nullptr;
};

// nullopt for what does not end in a format's name. "vpc" is taken for "vhd".
// Errors: EINVAL for a sub-format or profile that the format does not go with, saying what does.
Result<std::optional<ViewWish>> parse_view_suffix(std::string_view suffix);

}  // namespace hyper
