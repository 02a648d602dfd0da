// SPDX-License-Identifier: Apache-2.0
// Target profiles: what a cloud or hypervisor wants a disk to look like when it is imported there.
// Padding is zeros in a view, so it costs nothing.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "convert/view.h"

namespace hyper {

struct Profile {
    std::string_view name;
    Format format;
    std::string_view subformat;
    uint64_t size_multiple_bytes;  // the disk is padded with zeros to a whole number of these
    uint64_t size_bytes_max;       // of the padded disk
    std::string_view limit_reason;  // whose limit that is
    std::string_view description;
};

// aws azure gcp oci openstack alibaba vsphere hyperv
std::span<const Profile> profiles();
// nullptr where there is none of that name.
const Profile* find_profile(std::string_view name);

// The view that `profile` wants. Errors: EFBIG, saying why the disk cannot go there; EINVAL for a delta.
Result<std::shared_ptr<const Source>> open_profile_view(const Profile& profile, ViewInput input);

}  // namespace hyper
