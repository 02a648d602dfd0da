// SPDX-License-Identifier: Apache-2.0
// The catalog: the names under which every door (NBD, FUSE, hyperctl) offers disks and their views.
//
//     NAME[@SNAPSHOT][.FORMAT]      web01/root   web01/root@before-upgrade.qcow2   web01/root.azure.vhd
//                                   web01/root@42.since-41.qcow2
//
// NAME of an image file is its file name without the format's suffix; in a directory sub-folders are part of
// the name. No .FORMAT means raw. A sub-format, a target profile, or since-STATE stands before the suffix.
// Names are looked up in a table and never joined to a path.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "blockengine/engine.h"
#include "catalog/export_name.h"
#include "catalog/image_cache.h"
#include "catalog/scan.h"
#include "catalog/view_cache.h"
#include "convert/image.h"
#include "convert/view.h"

namespace hyper {

struct CatalogOptions {
    // For every image. `snapshot` is ignored: a name's @ part decides. `format` is that of file specs; in a
    // directory the suffix decides.
    OpenOptions open;
    uint64_t cluster_bytes = 0;  // of qcow2 views; 0 for the default
};

// A disk that the catalog knows, opened or not.
struct Disk {
    std::string name;         // "web01/root"
    std::string path;         // of the image file
    std::string snapshot;     // "" for the present state; else the name ends in "@" + snapshot
    std::string problem;      // why it cannot be served; empty if it can, as far as is known
    Format format;            // of the image
    uint64_t size_bytes = 0;  // of the disk; 0 where there is a problem, and for a snapshot until it is opened
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
    // format.h (see scan.h for what is left out). Images are opened when first used. `engine` must outlive the
    // catalog. Errors: ENOENT for a spec that is not there; EEXIST for two file specs of one name.
    static Result<std::unique_ptr<Catalog>> open(Engine& engine, const std::vector<std::string>& specs,
                                                 const CatalogOptions& options = {});

    // Looks into the directories anew: what was added or removed since shows. Sorted by name; internal
    // snapshots (those whose names are of A-Z a-z 0-9 . _ : + -) follow their disk. Images whose names collide are
    // listed with a problem, and so are those that cannot be opened.
    std::vector<Disk> disks();
    // Every name of every disk that can be served now: raw, then every view that can hold it.
    std::vector<Export> exports();

    // A disk by its name, as an image; a snapshot also by its number. Errors: ENOENT; EEXIST for a name of
    // several; those of open_image(). A changed file is opened anew.
    Result<std::shared_ptr<const Image>> open_disk(std::string_view name);
    // Any name of the grammar above as a source; of several readings the one with the longest disk name counts.
    // The same name gives the same object while somebody holds it and its file does not change, and some time after.
    // Errors: ENOENT for an unknown name, EINVAL for a format and sub-format that do not go together,
    // EFBIG for a disk that the view cannot hold.
    Result<std::shared_ptr<const Source>> open_export(std::string_view name);
    // The raw image file that a name's disk lies in, for doors that write to it in place; nullopt for a disk of another
    // kind, and for an unknown name. `itself`: the name is the disk's own, not one of a view. Errors: those of open_disk().
    struct RawFile {
        std::string path;
        bool itself;
    };
    Result<std::optional<RawFile>> raw_file(std::string_view name);
    // The names of volumes that were begun lazily and have no generation yet: they can be written to, and have no views.
    std::vector<std::string> lazy_volumes();
    // The folder of the volume whose newest generation a name stands for, as a raw disk; nullopt for every other name. Errors: as above.
    Result<std::optional<std::string>> volume_folder(std::string_view name);
    // What a name stands for, as exports() says it; empty for an unknown name. Opens no image but that of a snapshot.
    std::string describe(std::string_view name);
    // The NAME of the disk that a name stands for, without snapshot and view: what rules of access go by. Empty for
    // an unknown name.
    std::string disk_of(std::string_view name);
    // The only disk's name (snapshots do not count), for doors that have a default. Errors: EINVAL where there
    // are none or several.
    Result<std::string> default_name();

    Engine& engine() { return engine_; }

  private:
    // A disk in one of its states.
    struct State {
        FoundImage image;
        std::string snapshot;
    };
    struct Target {
        State state;
        ViewWish wish;
    };
    using Table = std::map<std::string, FoundImage, std::less<>>;

    Catalog(Engine& engine, std::vector<std::string> specs, CatalogOptions options)
        : engine_(engine), specs_(std::move(specs)), options_(std::move(options)), images_(engine) {}

    std::optional<Error> rescan();
    Table table();
    OpenOptions options_of(const State& state) const;
    Result<std::optional<State>> find_disk(std::string_view name);
    Result<std::optional<Target>> find_target(std::string_view name);
    Result<std::optional<Target>> find_target_anew(std::string_view name);
    Result<std::shared_ptr<const Image>> open_state(const State& state);

    Engine& engine_;
    const std::vector<std::string> specs_;
    const CatalogOptions options_;
    ImageCache images_;
    ViewCache views_;
    std::mutex mutex_;
    Table table_;  // guarded by mutex_
};

}  // namespace hyper
