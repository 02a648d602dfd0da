// SPDX-License-Identifier: Apache-2.0
// A volume that is written to: its draft, with the right to make a generation of it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "blockengine/volume/draft.h"
#include "blockengine/volume/store_blocks.h"
#include "blockengine/volume/volume_writer.h"

namespace hyper {

// Bound to one thread, but for disk().
class VolumeDraft {
  public:
    // Goes on with the draft that is there, or begins one on the newest generation. Errors: EBUSY, saying who writes the volume;
    // ENOENT where there is no generation yet.
    static Result<std::unique_ptr<VolumeDraft>> open(Engine& engine, const std::string& folder);

    const std::shared_ptr<Draft>& disk() const { return disk_; }

    // Makes a generation of what was written; nobody may write meanwhile, and the draft is gone afterwards. Killed at any point, the
    // draft is still there, or the generation is. nullopt where nothing was written: then there is no new generation.
    Result<std::optional<Generation>> commit(const StoreOptions& options);
    // What was written is gone.
    Result<void> discard();

  private:
    VolumeDraft(std::unique_ptr<VolumeWriter> writer, std::shared_ptr<Draft> disk)
        : writer_(std::move(writer)), disk_(std::move(disk)) {}

    std::unique_ptr<VolumeWriter> writer_;
    std::shared_ptr<Draft> disk_;
};

// A disk of a generation's content that can be written to, and is gone with the object: for trying things out. Its files are in the
// volume's folder.
Result<std::shared_ptr<WritableDisk>> open_overlay(Engine& engine, const std::string& volume_folder, std::shared_ptr<const Source> base);

// Whether a volume has a draft that is no generation yet, and to which something was written or which cannot be opened. What was left of
// one that is a generation is removed, and so is one to which nothing was written.
enum class DraftFound { none, nothing_written, written };
Result<DraftFound> find_draft(VolumeWriter& writer);

}  // namespace hyper
