// SPDX-License-Identifier: Apache-2.0
// Sources of the figures: AWS VM Import/Export user guide; Azure "Prepare a VHD" (fixed VHD, whole MiB; generation 1
// takes 2 TiB less the footer, and VHD itself ends at 2040 GiB); GCP "Import a boot disk" (disk.raw of whole GiB);
// OCI "Importing custom images" (400 GB); OpenStack image guide; Alibaba Cloud "Import custom images" (zlib-only qcow2);
// VMware OVF import (streamOptimized version 3); Hyper-V (VHDX up to 64 TiB).
#include "convert/profile.h"

#include <cerrno>

#include "blockengine/base/bytes.h"

namespace hyper {

namespace {

constexpr Profile all[] = {
    {"aws", Format::vmdk, "streamOptimized", MiB, 16 * TiB, "AWS EBS volumes end at 16 TiB", "AWS VM Import"},
    {"azure", Format::vhd, "fixed", MiB, 2040 * GiB, "VHD, which Azure wants, ends at 2040 GiB",
     "Azure page blob: fixed VHD of whole MiB"},
    {"gcp", Format::raw, "", GiB, 64 * TiB, "GCP disks end at 64 TiB", "GCP: disk.raw of whole GiB"},
    {"oci", Format::qcow2, "", MiB, 400'000'000'000, "OCI imports at most 400 GB", "OCI custom image"},
    {"openstack", Format::qcow2, "", MiB, 64 * TiB, "disks end at 64 TiB", "OpenStack image service"},
    {"alibaba", Format::qcow2, "", MiB, 2 * TiB, "Alibaba Cloud imports system disks of at most 2 TiB",
     "Alibaba Cloud custom image"},
    {"vsphere", Format::vmdk, "streamOptimized", MiB, 62 * TiB, "vSphere disks end at 62 TiB",
     "vSphere: disk of an OVF package"},
    {"hyperv", Format::vhdx, "dynamic", MiB, 64 * TiB, "VHDX ends at 64 TiB", "Hyper-V generation 2"},
};

}  // namespace

std::span<const Profile> profiles() { return all; }

const Profile* find_profile(std::string_view name) {
    for (const Profile& profile : all)
        if (profile.name == name) return &profile;
    return nullptr;
}

Result<std::shared_ptr<const Source>> open_profile_view(const Profile& profile, ViewInput input) {
    if (input.delta)
        return fail(EINVAL, "{}: {} imports whole disks, and this is what changed between two states of one", input.file_name,
                    profile.name);
    uint64_t size = round_up(input.disk->size_bytes(), profile.size_multiple_bytes);
    if (size > profile.size_bytes_max)
        return fail(EFBIG, "{}: a disk of {} bytes cannot go to {}: {} ({} bytes)", input.file_name, size,
                    profile.name, profile.limit_reason, profile.size_bytes_max);
    if (size != input.disk->size_bytes()) input.disk = std::make_shared<PaddedSource>(input.disk, size);
    const ViewKind* kind = TRY(find_view_kind(profile.format, profile.subformat));
    return open_view(*kind, std::move(input));
}

}  // namespace hyper
