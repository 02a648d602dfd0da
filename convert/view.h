// SPDX-License-Identifier: Apache-2.0
// A view: an image file computed from a source. No copy is made; the same source gives the same bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "blockengine/change_map.h"
#include "blockengine/delta_source.h"
#include "blockengine/engine.h"
#include "blockengine/source.h"
#include "convert/format.h"
#include "convert/identity.h"

namespace hyper {

// What a view is made of. Every format's make_..._view() gets one.
struct ViewInput {
    // The disk. Its size is a whole number of 512-byte sectors (open_view() pads it where it is not).
    std::shared_ptr<const Source> disk;
    Identity identity;
    // The name that the view is served under, without folders: VMDK descriptors repeat it.
    std::string file_name;
    // Bytes of a cluster (qcow2) or block (vhdx); 0 for the default.
    uint64_t cluster_bytes = 0;
    // For checksums over data; outlives the view.
    Engine* engine = nullptr;
    // Set where `disk` is not a disk but what changed of one (Image::delta()).
    std::shared_ptr<const DeltaSource> delta{};
    // What the view is to carry as a persistent bitmap: qcow2 alone.
    struct Bitmap {
        std::string name;
        std::vector<ChangedRun> dirty;  // as ChangeMap::changed_since() gives it
    };
    std::shared_ptr<const Bitmap> bitmap{};
};

// One way to write a disk down.
struct ViewKind {
    Format format;
    std::string_view subformat;    // as in qemu-img's subformat=
    std::string_view suffix;       // of its name: ".qcow2", ".streamOptimized.vmdk"
    std::string_view description;  // for people
    Result<std::shared_ptr<const Source>> (*make)(const ViewInput& input);
};

// All of them; raw comes first, a format's default sub-format before its others.
std::span<const ViewKind> view_kinds();
// An empty sub-format means the default. Errors: EINVAL, naming what there is.
Result<const ViewKind*> find_view_kind(Format format, std::string_view subformat);

// Errors: EFBIG where the format cannot hold a disk of that size; EINVAL for a cluster size it does not have, and for a
// delta in a format that cannot say "as before";
// what reading the source's extents gives.
Result<std::shared_ptr<const Source>> open_view(const ViewKind& kind, ViewInput input);

}  // namespace hyper
