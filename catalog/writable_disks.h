// SPDX-License-Identifier: Apache-2.0
// The disks that a door has open for writing, raw files and volumes: each once, whoever writes it.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "blockengine/base/unique_fd.h"
#include "blockengine/writable_file.h"
#include "catalog/catalog.h"
#include "catalog/open_drafts.h"

namespace hyper {

// Thread-safe. `catalog` outlives it.
class WritableDisks {
  public:
    // `commit_on_close`: what was written to a volume becomes a generation when its last writer leaves.
    explicit WritableDisks(Catalog& catalog, bool commit_on_close = false)
        : catalog_(catalog), drafts_(catalog.engine(), commit_on_close) {}

    // Whether a name is to be offered beside disks that are written: false for a view of a raw disk.
    bool offers(const std::string& name);
    // Whether a name is a disk's own, and the disk one that can be written. Errors: those of Catalog::raw_file().
    Result<bool> writes(const std::string& name);
    // What a name stands for, to be written: a raw disk's file; a volume's draft; for NAME@GENERATION+rw an overlay that only this
    // caller has and that is gone with it. nullptr where it is none of these. Errors: EACCES for a view of a raw disk, since a
    // view stands on content that does not change; those of Catalog::raw_file(), WritableFile::open() and
    // VolumeDraft::open().
    Result<std::shared_ptr<WritableDisk>> open(const std::string& name);

    // Those of OpenDrafts.
    Result<std::optional<Generation>> commit(const std::string& folder, const StoreOptions& options) { return drafts_.commit(folder, options); }

    // A file that another process has open for writing; open() then takes it instead of opening its own.
    Result<void> adopt(UniqueFd fd, const std::string& path);
    // All files that are open.
    std::vector<std::shared_ptr<WritableFile>> all();

  private:
    Result<std::shared_ptr<WritableDisk>> open_throwaway(const std::string& name);
    Result<std::shared_ptr<WritableFile>> open_file(const std::string& path);

    Catalog& catalog_;
    OpenDrafts drafts_;
    std::mutex mutex_;
    std::map<std::string, std::shared_ptr<WritableFile>> held_;  // guarded by mutex_; by path
    std::vector<std::shared_ptr<WritableFile>> adopted_;         // guarded by mutex_; not in held_ yet
};

}  // namespace hyper
