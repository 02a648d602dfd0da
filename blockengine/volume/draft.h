// SPDX-License-Identifier: Apache-2.0
// The draft of a volume: what is written to a disk since its base, an immutable generation.
//
// Design note. A write goes to a sparse file as large as the disk, in place, so that it costs what it costs on a raw file; a
// map says which sectors of the file count. What makes it safe:
//   - a sector is marked after its bytes were written, and only whole: a write that covers a part of a sector that is not in
//     the file yet first copies the rest there, from the base;
//   - a flush takes the marks first, then syncs the file, and only then logs the marks and syncs the log. So the log never says
//     that a sector is in the file before it is;
//   - whatever is not logged reads from the base after a crash, whatever the file holds there;
//   - after a sync has failed nobody knows what is on the disk, so every flush fails until the draft is opened anew.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "blockengine/base/bytes.h"
#include "blockengine/engine.h"
#include "blockengine/volume/draft_log.h"
#include "blockengine/volume/draft_map.h"
#include "blockengine/volume/sector_locks.h"
#include "blockengine/writable_disk.h"
#include "blockengine/writable_file.h"

namespace hyper {

// Thread-safe. One process at a time has it open. `engine` outlives it.
class Draft : public WritableDisk, public std::enable_shared_from_this<Draft> {
  public:
    // Goes on with the draft in `folder`, or begins one there, which is durable on return. `base` is nullptr for zeros; where it is
    // shorter than the disk, zeros follow it. Errors: EINVAL where a draft of something else is there; EBUSY where another
    // process has it open; EIO where it is damaged; what the file system gives.
    static Result<std::shared_ptr<Draft>> open(const std::string& folder, const DraftIdentity& identity,
                                               std::shared_ptr<const Source> base, Engine& engine);

    std::shared_ptr<const Source> source() override;
    uint64_t size_bytes() const override { return data_->file()->size_bytes(); }
    int fd() const override { return data_->fd(); }
    Result<void> prepare_write(uint64_t offset, uint64_t length) override;
    void written(uint64_t offset, uint64_t length, int flags, int error) override;
    int durable_write_flags() const override { return 0; }
    Result<void> zero(uint64_t offset, uint64_t length, bool keep_allocated, bool fast) override;
    Result<void> trim(uint64_t offset, uint64_t length) override;
    Result<void> flush() override;

    // As source() answers.
    Result<void> map_pieces(uint64_t offset, uint64_t length, PieceList& out) const;

    // The first run of sectors, at or after `first`, that read from the base; of none where there is no more.
    SectorRun next_absent(uint64_t first) const;
    // What the base has there goes into the sectors that still read from it, and changes nothing that is read. `offset` is a sector's first
    // byte; `bytes`, or `length`, ends with a sector or with the disk.
    Result<void> fill(uint64_t offset, std::span<const std::byte> bytes);
    Result<void> fill_zeros(uint64_t offset, uint64_t length);

    // Which draft it is, for ever: 32 hexadecimal digits.
    std::string id() const;
    // Calls `visit` for the runs of sectors that may differ from the base, in order, until it answers false.
    void visit_changed(const std::function<bool(const SectorRun&)>& visit) const { map_.visit_changed(visit); }
    // Removes the draft's files. Nothing is durable any more: every flush fails from now on.
    Result<void> discard();

  private:
    class View;
    struct Sectors {
        uint64_t first, count;
    };

    Draft(std::string folder, std::shared_ptr<const Source> base, Engine& engine, uint64_t size_bytes)
        : folder_(std::move(folder)), base_(std::move(base)), engine_(engine), map_(divide_up(size_bytes, draft_sector_bytes)) {}
    Result<void> begin(uint64_t size_bytes);
    Result<void> go_on(uint64_t size_bytes);

    static Sectors touched(uint64_t offset, uint64_t length);
    Sectors covered(uint64_t offset, uint64_t length) const;
    bool is_copied_up(uint64_t offset, uint64_t length) const;
    Result<void> copy_up(uint64_t offset, uint64_t length);
    Result<void> copy(uint64_t begin, uint64_t end);
    Result<void> zero_sectors(Sectors sectors, bool keep_allocated, bool fast);
    Result<void> zero_bytes(uint64_t begin, uint64_t end);
    void visit_absent(Sectors sectors, const std::function<void(const SectorRun&)>& visit) const;

    Result<void> flush_now();
    Result<void> rewrite_log();
    Result<void> sync(int fd);

    const std::string folder_;
    const std::shared_ptr<const Source> base_;
    Engine& engine_;
    std::shared_ptr<WritableFile> data_;
    DraftMap map_;
    SectorLocks locks_;
    std::mutex flush_mutex_;
    std::unique_ptr<DraftLog> log_;            // guarded by flush_mutex_, but for its id
    std::atomic<uint64_t> flushes_begun_ = 0;  // written with flush_mutex_ held
    uint64_t flush_done_ = 0;                  // guarded by flush_mutex_; the last that went well
    int lost_ = 0;                             // guarded by flush_mutex_; an errno
};

}  // namespace hyper
