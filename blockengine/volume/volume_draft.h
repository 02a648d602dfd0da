// SPDX-License-Identifier: Apache-2.0
// A volume that is written to: its draft, with the right to make a generation of it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "blockengine/volume/hydrate.h"
#include "blockengine/volume/lazy_source.h"
#include "blockengine/volume/store_blocks.h"
#include "blockengine/volume/volume_disk.h"
#include "blockengine/volume/volume_writer.h"

namespace hyper {

// Opens what a lazy volume is filled from. Errors: ESTALE where it is not what it was.
using OpenLazySource = std::function<Result<std::shared_ptr<const Source>>(const LazySource&)>;

// Bound to one thread, but for disk() and hydrate().
class VolumeDraft {
  public:
    // Goes on with the draft that is there, or begins one on the newest generation. Errors: EBUSY, saying who writes the volume;
    // ENOENT where there is no generation yet, and it is not lazy; those of `open_lazy_source`.
    static Result<std::unique_ptr<VolumeDraft>> open(Engine& engine, const std::string& folder, const OpenLazySource& open_lazy_source);
    // Begins the draft of a lazy volume, which is to be filled from `source`. Errors: EEXIST where there is a generation, or a draft.
    static Result<void> begin_lazy(VolumeWriter& writer, const LazySource& source);

    const std::shared_ptr<VolumeDisk>& disk() const { return disk_; }
    // What it still has to be filled from; nullopt once all is there, and for a volume that is not lazy.
    const std::optional<LazySource>& lazy_source() const { return lazy_; }
    // Until all of it is there: then it needs its source no more. One thread at a time; the disk may be used meanwhile, but nothing else here.
    // Errors: those of hyper::hydrate().
    Result<void> hydrate(const HydrateOptions& options);

    // Makes a generation of what was written; nobody may write meanwhile, and the draft is gone afterwards. Killed at any point, the
    // draft is still there, or the generation is. nullopt where nothing was written: then there is no new generation. Errors: EBUSY while
    // there is a lazy_source().
    Result<std::optional<Generation>> commit(const StoreOptions& options);
    // The same while others write, which waits only for the end of it: all that was written until then is in the generation, and what is
    // written from then on is in a new draft upon it. Killed at any point, the draft is still there, or the generation is, and what
    // was flushed since. Errors: as above; where it is not known whether the generation is there, whoever writes gets the error too,
    // until the volume is opened anew.
    Result<std::optional<Generation>> commit_while_written(const StoreOptions& options);
    // What was written is gone.
    Result<void> discard();

  private:
    explicit VolumeDraft(std::unique_ptr<VolumeWriter> writer) : writer_(std::move(writer)) {}
    Result<void> open_first(const OpenLazySource& open_lazy_source);
    Result<void> all_here() const;
    Result<void> store_all(const StoreOptions& options);
    Result<void> store_again(const BlockRuns& blocks, const StoreOptions& options);
    // Blocks of the volume that were written since the last call.
    BlockRuns blocks_written();
    // While nobody writes, `rest` is all that is not stored yet.
    Result<Generation> end_in_pause(VolumeDisk::Pause& pause, Draft& draft, const BlockRuns& rest, const StoreOptions& options);
    Result<std::optional<Generation>> commit_and_go_on(const StoreOptions& options);
    Result<Generation> make_generation();
    Result<void> prepare_next();
    Result<std::shared_ptr<Draft>> take_next(const Generation& base);

    std::unique_ptr<VolumeWriter> writer_;
    std::shared_ptr<VolumeDisk> disk_;
    std::optional<LazySource> lazy_;
    std::shared_ptr<const Source> base_;  // of a lazy volume
};

// A disk of a generation's content that can be written to, and is gone with the object: for trying things out. Its files are in the
// volume's folder.
Result<std::shared_ptr<WritableDisk>> open_overlay(Engine& engine, const std::string& volume_folder, std::shared_ptr<const Source> base);

// Whether a volume has a draft that is no generation yet, and to which something was written or which cannot be opened. What was left of
// one that is a generation is removed, and so is one to which nothing was written.
enum class DraftFound { none, nothing_written, written };
Result<DraftFound> find_draft(VolumeWriter& writer);

}  // namespace hyper
