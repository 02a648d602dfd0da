// SPDX-License-Identifier: Apache-2.0
// What a command works on: a provider's disk, an image file, a snapshot in one, a generation of a volume, or any name of the catalog of --spec.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "catalog/catalog.h"
#include "convert/image.h"
#include "tools/hyperctl/command.h"
#include "tools/hyperctl/volume_operand.h"

namespace hyper::ctl {

struct Operand {
    std::string name;                    // as the user wrote it
    std::shared_ptr<const Image> image;  // the disk; nullptr for a name of the catalog that is a view
    std::shared_ptr<const Source> view;  // of --as or of the name; nullptr where the disk itself is meant
    Format view_format = Format::raw;    // of the view

    // What it reads as: the view where there is one.
    const Source& source() const { return view ? *view : *image; }
};

// The options that say how operands are opened; bound to one command.
class OperandOptions {
  public:
    // Adds -f, --spec, --allow and --root; with_view adds --as.
    void add_to(CLI::App& command, bool with_view);

    // A provider's URI, PATH where a file is there, PATH@SNAPSHOT where one is at PATH, VOLUME[@GENERATION] where there is a volume of that name,
    // or a name of the --spec disks, which goes first. Errors: those of open_image() and Catalog::open_export().
    Result<Operand> open(Engine& engine, const std::string& name) const;
    // With another -f.
    Result<Operand> open(Engine& engine, const std::string& name, const std::string& format) const;

    // `name` as a file or volume: its path and how it is to be opened. nullopt where there is none.
    Result<std::optional<std::pair<std::string, OpenOptions>>> file_of(const std::string& name,
                                                                       const std::string& format) const;
    // How disks of providers are to be opened.
    void set_remote(RemoteWish wish) { remote_ = std::move(wish); }
    const std::string& format() const { return format_; }
    const std::string& as() const { return as_; }
    const VolumeRoot& root() const { return root_; }
    bool has_specs() const { return !specs_.empty(); }
    const std::vector<std::string>& allowed_dirs() const { return allowed_dirs_; }

  private:
    Result<std::optional<Operand>> open_name(Engine& engine, const std::string& name) const;

    VolumeRoot root_;
    RemoteWish remote_;
    std::string format_, as_;
    std::vector<std::string> specs_, allowed_dirs_;
};

}  // namespace hyper::ctl
