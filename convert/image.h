// SPDX-License-Identifier: Apache-2.0
// An image file as a source: open_image() and what it tells about the image.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "blockengine/change_map.h"
#include "blockengine/delta_source.h"
#include "blockengine/engine.h"
#include "blockengine/source.h"
#include "blockengine/volume/companions.h"
#include "convert/format.h"
#include "convert/identity.h"
#include "providers/remote_wish.h"

namespace hyper {

struct ImageInfo {
    Format format = Format::raw;
    std::string subformat;  // as qemu-img names it (monolithicSparse, dynamic, ...); empty where there is one only
    uint32_t logical_sector_bytes = 512;
    struct Detail {
        std::string name, value;  // "cluster size", "65536"
    };
    std::vector<Detail> details;         // more facts of the format, for people
    std::vector<std::string> snapshots;  // names of internal snapshots
    std::vector<std::string> warnings;   // what a reader should know: "marked dirty, ..."
};

// Immutable; thread-safe. Holds its files open, and its parent, if it has one.
class Image : public Source {
  public:
    uint64_t size_bytes() const override { return size_bytes_; }
    const std::string& path() const { return path_; }
    const ImageInfo& info() const { return info_; }
    const Identity& identity() const { return identity_; }
    // nullptr where there is none.
    const std::shared_ptr<const Image>& parent() const { return parent_; }
    // The files besides path() in which its own data lies: extents, a data file.
    const std::vector<std::string>& data_paths() const { return data_paths_; }
    // nullptr where nothing is known of earlier states.
    const std::shared_ptr<const ChangeMap>& changes() const { return changes_; }
    // Set where this is not a disk but what changed of one: then the same bytes as this image's own.
    const std::shared_ptr<const DeltaSource>& delta() const { return delta_; }
    // What belongs to the disk, as its machine's description; EIO and such where it cannot be read.
    virtual Result<std::vector<CompanionContent>> companions() const { return std::vector<CompanionContent>(); }

  protected:
    explicit Image(const File& file) : Image(file.path(), identity_of(file)) {}
    Image(std::string path, const Identity& identity) : path_(std::move(path)), identity_(identity) {}

    std::string path_;
    uint64_t size_bytes_ = 0;
    ImageInfo info_;
    Identity identity_;  // a chain's covers the parents too: Opening::open_parent's caller mixes theirs in
    std::shared_ptr<const Image> parent_;
    std::vector<std::string> data_paths_;
    std::shared_ptr<const ChangeMap> changes_;
    std::shared_ptr<const DeltaSource> delta_;
};

struct OpenOptions {
    // Without it the file name decides; a file whose magic says otherwise is refused. Raw is never probed.
    std::optional<Format> format;
    // An internal snapshot's name (qcow2), or a volume's generation (convert/volume/volume.h); empty for the present state.
    std::string snapshot;
    // Where images may refer to, besides their own folder.
    std::vector<std::string> allowed_dirs;
    // For a disk of a provider.
    RemoteWish remote{};
};

// `engine` must outlive the image. Errors: ENOENT and such from the system; EINVAL for a damaged or hostile image,
// ENOTSUP for a feature that is not read here, EPERM for a reference to a place that is not allowed, ELOOP for a chain
// that loops or is too long. Messages name file, field and value.
// `path` may be a provider's URI, too.
Result<std::shared_ptr<const Image>> open_image(Engine& engine, const std::string& path,
                                                const OpenOptions& options = {});
// Likewise for a file that is open already, as a far one is; what a far image refers to is not followed: EPERM.
Result<std::shared_ptr<const Image>> open_image(Engine& engine, std::shared_ptr<const File> file, const OpenOptions& options = {});

}  // namespace hyper
