// SPDX-License-Identifier: Apache-2.0
// The one who may write a volume.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "blockengine/base/unique_fd.h"
#include "blockengine/volume/companions.h"
#include "blockengine/volume/data_file.h"
#include "blockengine/volume/stored_tree.h"
#include "blockengine/volume/volume.h"

namespace hyper {

struct NewLeaf {
    uint64_t leaf;
    Sha256 hash;
};

// Bound to one thread, but for what says otherwise. After an error in the middle of a change everything that changes the volume is refused,
// saying why, since what is in memory may not be what is in the index: then open it anew.
class VolumeWriter {
  public:
    // Makes a volume with no generation at `folder`, which ends in ".volume" and is not there yet. Errors: EEXIST; EINVAL.
    static Result<std::unique_ptr<VolumeWriter>> create(Engine& engine, const std::string& folder, const VolumeOptions& options);
    // Finishes what a writer before left half done: prunings, and what was appended to data files without being entered.
    // Errors: EBUSY, saying who writes it; those of Volume::open().
    static Result<std::unique_ptr<VolumeWriter>> open(Engine& engine, const std::string& folder);
    ~VolumeWriter();

    // To read it, also by other threads.
    const std::shared_ptr<Volume>& volume() const { return volume_; }
    Index& index() { return *index_; }
    DataFiles& data() { return *data_; }

    // Errors: that of an earlier change, since which nothing more is taken.
    Result<void> usable() const;

    // The generation that is being written. There is always one; it is empty at first, and what an interrupted run left of it is
    // still in it. So whoever writes a generation looks at all blocks of pending_runs() besides those that it knows of.
    uint32_t pending() const { return pending_; }
    Result<BlockRuns> pending_runs() const;
    // How far a run came, for the next one: see set_progress(). nullopt where no run says.
    struct Progress {
        Origin origin;
        uint64_t size_bytes = 0;
        uint64_t next_block = 0;
        bool compared_all = false;  // rather than what the source says has changed
    };
    const std::optional<Progress>& progress() const { return progress_; }
    // Of a run from `origin` all blocks below next_block are in the pending generation as they should be: takes effect with the next put().
    void set_progress(std::optional<Progress> progress) { progress_ = std::move(progress); }

    // Puts blocks (ascending, 256 at most) and the leaves that change with them into the pending generation. What the
    // blocks' bytes refer to is written on return.
    Result<void> put(std::span<const StoredBlock> blocks, std::span<const NewLeaf> leaves);

    struct Commit {
        uint64_t size_bytes;
        int64_t time;
        Origin origin;
        std::string draft_id;
        std::span<const CompanionContent> companions{};
        std::string run{};
    };
    // The pending generation becomes the newest: durable on return, or an error and then it is not there, or is there as a whole.
    Result<Generation> commit(const Commit& commit);

    // Pinned generations are never pruned by rules.
    Result<void> set_pinned(uint32_t generation, bool pinned);
    // Takes a generation away, and what only it had; prune.cpp has the steps. Whoever reads it gets ESTALE from then on.
    // Errors: EINVAL for the newest and for a pinned one; ENOENT.
    struct Pruned {
        uint64_t freed_bytes = 0;  // of data files, whole pages only
    };
    Result<Pruned> prune(uint32_t generation);

    // Where a rebuilt index goes on.
    static void save_position(IndexBatch& batch, const DataPosition& at);

  private:
    VolumeWriter(Engine& engine, std::string folder) : engine_(engine), paths_(std::move(folder)) {}

    // Keeps the first error, and hands it on.
    template <class T>
    Result<T> kept(Result<T> result) {
        if (!result && !failed_) failed_ = result.error();
        return result;
    }
    Result<void> put_all(std::span<const StoredBlock> blocks, std::span<const NewLeaf> leaves);
    Result<Generation> commit_all(const Commit& commit);
    Result<void> change_pin(const Generation& generation);
    Result<Pruned> prune_all(const Generation& generation);
    Result<void> load();
    Result<void> check_since_checkpoint();
    void save_state(IndexBatch& batch) const;
    Result<void> tell_latest();
    Result<void> finish_pruning();
    Result<void> remove_pruned(uint32_t generation);
    Result<uint64_t> punch_out();

    Engine& engine_;
    VolumePaths paths_;
    UniqueFd lock_;
    std::shared_ptr<Index> index_;
    std::shared_ptr<Volume> volume_;
    std::unique_ptr<DataFiles> data_;

    uint32_t pending_ = 1;
    uint64_t attempt_ = 0;
    uint32_t runs_sequence_ = 0;      // of the next list of changes
    uint32_t checkpoint_ = 0;         // lists before this one refer to what is durable
    uint64_t stored_bytes_ = 0;       // of the pending generation
    uint64_t stored_since_checkpoint_ = 0;
    std::optional<Progress> progress_;
    std::unique_ptr<StoredTree> tree_;
    std::optional<Error> failed_;
};

}  // namespace hyper
