// SPDX-License-Identifier: Apache-2.0
#include "convert/view.h"

#include <cerrno>

#include "blockengine/base/bytes.h"
#include "convert/qcow2/qcow2.h"
#include "convert/vhd/vhd.h"
#include "convert/vhdx/vhdx.h"
#include "convert/vmdk/vmdk.h"

namespace hyper {

namespace {

Result<std::shared_ptr<const Source>> make_raw_view(const ViewInput& input) { return input.disk; }

constexpr ViewKind kinds[] = {
    {Format::raw, "", ".raw", "raw disk", make_raw_view},
    {Format::qcow2, "", ".qcow2", "qcow2, compat 1.1", make_qcow2_view},
    {Format::vmdk, "monolithicSparse", ".vmdk", "VMDK, monolithicSparse", make_vmdk_sparse_view},
    {Format::vmdk, "streamOptimized", ".streamOptimized.vmdk", "VMDK, streamOptimized, as OVF wants it",
     make_vmdk_stream_view},
    {Format::vmdk, "monolithicFlat", ".monolithicFlat.vmdk", "VMDK, descriptor of monolithicFlat",
     make_vmdk_flat_descriptor_view},
    {Format::vmdk, "monolithicFlat-flat", ".monolithicFlat-flat.vmdk", "VMDK, extent of monolithicFlat",
     make_raw_view},
    {Format::vhd, "dynamic", ".vhd", "VHD, dynamic", make_vhd_dynamic_view},
    {Format::vhd, "fixed", ".fixed.vhd", "VHD, fixed", make_vhd_fixed_view},
    {Format::vhdx, "dynamic", ".vhdx", "VHDX, dynamic", make_vhdx_dynamic_view},
    {Format::vhdx, "fixed", ".fixed.vhdx", "VHDX, fixed", make_vhdx_fixed_view},
};

}  // namespace

std::span<const ViewKind> view_kinds() { return kinds; }

Result<const ViewKind*> find_view_kind(Format format, std::string_view subformat) {
    std::string known;
    for (const ViewKind& kind : kinds) {
        if (kind.format != format) continue;
        if (subformat.empty() || subformat == kind.subformat) return &kind;
        known += known.empty() ? "" : ", ";
        known += kind.subformat;
    }
    return fail(EINVAL, "format {}: subformat \"{}\" is not served (try {})", format_name(format), subformat,
                known.empty() ? "none" : known);
}

Result<std::shared_ptr<const Source>> open_view(const ViewKind& kind, ViewInput input) {
    if (input.delta && kind.format != Format::raw && kind.format != Format::qcow2)
        return fail(EINVAL, "{}: what changed between two states of a disk is served as raw and qcow2, not as {}", input.file_name,
                    format_name(kind.format));
    uint64_t size = input.disk->size_bytes();
    if (size % sector_bytes != 0 && kind.format != Format::raw)
        input.disk = std::make_shared<PaddedSource>(input.disk, round_up(size, sector_bytes));
    return kind.make(input);
}

}  // namespace hyper
