// SPDX-License-Identifier: Apache-2.0
// A volume, or a generation of one, as the command line names it.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "blockengine/engine.h"
#include "blockengine/volume/volume.h"
#include "blockengine/volume/volume_writer.h"

namespace hyper::ctl {

// VOLUME[@GENERATION], taken apart. Made by VolumeRoot.
struct VolumeOperand {
    std::string name;        // of the volume, as the user wrote it
    std::string folder;      // where it is, or would be
    std::string generation;  // what stands behind the "@"; empty where nothing does

    // Errors: ENOENT, saying how to make one; EINVAL for a folder that is no volume.
    Result<void> must_be_there() const;
    // To be read. Errors: as above, and those of Volume::open().
    Result<std::shared_ptr<Volume>> open(Engine& engine) const;
    // Errors: as above, and EBUSY, saying who writes it.
    Result<std::unique_ptr<VolumeWriter>> open_to_write(Engine& engine) const;
    // EINVAL where a generation is named, for commands that are about the whole volume.
    Result<void> refuse_generation() const;
};

// --root, and what it means for names. Bound to one command.
class VolumeRoot {
  public:
    static constexpr const char* help = "VOLUME, a path with a slash or the suffix .volume, or a name of --root";

    void add_to(CLI::App& command);

    // ROOT/volumes, where ROOT is that of --root, else of $HYPER_ROOT, else /var/lib/hyper.
    std::string volumes_folder() const;
    // A path where it has a slash or ends in ".volume", else the name of ROOT/volumes/NAME.volume. Whether it is there is not
    // looked at. Errors: EINVAL for what can be neither.
    Result<VolumeOperand> operand(const std::string& text) const;
    // Makes it, with the folders of --root that are missing. Errors: those of VolumeWriter::create().
    Result<std::unique_ptr<VolumeWriter>> create(Engine& engine, const VolumeOperand& operand, const VolumeOptions& options) const;

  private:
    std::string root_;
};

}  // namespace hyper::ctl
