// SPDX-License-Identifier: Apache-2.0
// What stands behind a disk's name: ".qcow2", ".streamOptimized.vmdk", ".azure.vhd", ".since-41.qcow2".
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "blockengine/base/result.h"
#include "convert/image.h"
#include "convert/profile.h"
#include "convert/view.h"

namespace hyper {

// One of the first two is set.
struct ViewWish {
    const ViewKind* kind = nullptr;
    const Profile* profile = nullptr;
    // With qcow2: the earlier state since which what changed is told, as a bitmap of that name. Empty for none.
    std::string since{};

    Format format() const { return profile != nullptr ? profile->format : kind->format; }
};

// nullopt for what does not end in a format's name. "vpc" is taken for "vhd".
// Errors: EINVAL for a sub-format, profile or "since" that the format does not go with, saying what does.
Result<std::optional<ViewWish>> parse_view_suffix(std::string_view suffix);

// The view of `image` that `wish` means, to be served under `file_name` (without folders). `cluster_bytes` is for
// qcow2 alone; 0 is its default. Errors as open_view(), open_profile_view() and ChangeMap::changed_since(), and ENOENT where it is
// not known what changed since then.
Result<std::shared_ptr<const Source>> open_wish(Engine& engine, const ViewWish& wish,
                                                std::shared_ptr<const Image> image, std::string file_name,
                                                uint64_t cluster_bytes = 0);

}  // namespace hyper
