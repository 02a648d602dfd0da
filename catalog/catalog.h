// SPDX-License-Identifier: Apache-2.0
// The catalog: the names under which every door (NBD, FUSE, hyperctl) offers disks and their views.
//
//     NAME[@SNAPSHOT][.FORMAT]      web01/root   web01/root@before-upgrade.qcow2   web01/root.azure.vhd
//
// NAME of an image file is its file name without the format's suffix; in a directory sub-folders are part of
// the name. No .FORMAT means raw. A sub-format or a target profile stands before the suffix.
// Names are looked up in a table and never joined to a path.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "blockengine/engine.h"
#include "convert/image.h"
#include "convert/view.h"

namespace hyper {

struct CatalogOptions {
    OpenOptions open;            // for every image; `snapshot` is ignored, a name's @ part decides
    uint64_t cluster_bytes = 0;  // of qcow2 views; 0 for the default
};

// A disk that the catalog knows, opened or not.
struct Disk {
    std::string name;      // "web01/root"
    std::string path;      // of the image file
    std::string snapshot;  // "" for the present state; else the name ends in "@" + snapshot
    std::string problem;   // why it cannot be served; empty if it can, as far as is known
};

// A name that can be opened, with what it is.
struct Export {
    std::string name;         // "web01/root.qcow2"
    std::string description;  // "VMDK, streamOptimized of images/web01.qcow2"
    Format format;
    bool raw_of_disk;  // the plain NAME, which NBD lists; a mount lists NAME.raw instead
};

// Thread-safe.
class Catalog {
  public:
    // Each spec is an image file or a directory of images, which is searched to the bottom for the suffixes of
    // format.h; extents of VMDKs (-flat, -s001, ...) are left out. Images are opened when first used.
    // `engine` must outlive the catalog. Errors: ENOENT for a spec that is not there; EEXIST for two specs of one name.
    static Result<std::unique_ptr<Catalog>> open(Engine& engine, const std::vector<std::string>& specs,
                                                 const CatalogOptions& options = {});

    // Looks into the directories anew: what was added or removed since shows. Sorted by name; internal
    // snapshots follow their disk. Images of one folder whose names collide are listed with a problem.
    std::vector<Disk> disks();
    // Every name of every disk that can be served now: raw, then every view that can hold it.
    std::vector<Export> exports();

    // A disk by its name, as an image. Errors: ENOENT; those of open_image().
    Result<std::shared_ptr<const Image>> open_disk(std::string_view name);
    // Any name of the grammar above as a source. The same name gives the same object while somebody holds it.
    // Errors: ENOENT for an unknown name, EINVAL for a format and sub-format that do not go together,
    // EFBIG for a disk that the view cannot hold.
    Result<std::shared_ptr<const Source>> open_export(std::string_view name);
    // The only disk's name, for doors that have a default. Errors: EINVAL where there are none or several.
    Result<std::string> default_name();

    Engine& engine() { return engine_; }

  private:
    explicit Catalog(Engine& engine) : engine_(engine) {}
    Engine& engine_;
};

}  // namespace hyper
