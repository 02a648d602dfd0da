// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/volume_disk.h"

#include <cerrno>

#include "blockengine/base/bytes.h"

namespace hyper {

std::shared_ptr<Draft> VolumeDisk::draft() const {
    std::lock_guard lock(mutex_);
    return draft_;
}

class VolumeDisk::View : public Source {
  public:
    explicit View(std::shared_ptr<const VolumeDisk> disk) : disk_(std::move(disk)) {}
    uint64_t size_bytes() const override { return disk_->size_bytes(); }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override {
        return disk_->draft()->map_pieces(offset, length, out);
    }

  private:
    std::shared_ptr<const VolumeDisk> disk_;
};

std::shared_ptr<const Source> VolumeDisk::source() { return std::make_shared<View>(shared_from_this()); }

Result<void> VolumeDisk::enter() {
    std::unique_lock lock(mutex_);
    if (paused_ && no_wait_asked()) return fail(EAGAIN, "write to a volume: would wait for a commit");
    changed_.wait(lock, [this] { return !paused_; });
    if (lost_) return tl::unexpected(*lost_);
    ++inside_;
    return {};
}

void VolumeDisk::leave() {
    std::lock_guard lock(mutex_);
    if (--inside_ == 0 && paused_) changed_.notify_all();
}

// After it was written: whoever read it before then, and while it is remembered, reads it again.
void VolumeDisk::note(uint64_t offset, uint64_t length) {
    std::lock_guard lock(mutex_);
    uint64_t first = offset / draft_sector_bytes;
    if (written_) written_->add(first, divide_up(offset + length, draft_sector_bytes) - first);
}

Result<void> VolumeDisk::prepare_write(uint64_t offset, uint64_t length) {
    TRY(enter());
    auto prepared = draft()->prepare_write(offset, length);
    if (!prepared) leave();
    return prepared;
}

void VolumeDisk::written(uint64_t offset, uint64_t length, int flags, int error) {
    draft()->written(offset, length, flags, error);
    note(offset, length);
    leave();
}

Result<void> VolumeDisk::zero(uint64_t offset, uint64_t length, bool keep_allocated, bool fast) {
    TRY(enter());
    auto done = draft()->zero(offset, length, keep_allocated, fast);
    note(offset, length);
    leave();
    return done;
}

Result<void> VolumeDisk::trim(uint64_t offset, uint64_t length) {
    TRY(enter());
    auto done = draft()->trim(offset, length);
    note(offset, length);
    leave();
    return done;
}

Result<void> VolumeDisk::flush() {
    TRY(enter());
    auto done = draft()->flush();
    leave();
    return done;
}

void VolumeDisk::remember(bool on) {
    std::lock_guard lock(mutex_);
    written_ = on ? std::optional<BlockRuns>(std::in_place) : std::nullopt;
}

BlockRuns VolumeDisk::take_written() {
    BlockRuns taken;
    {
        std::lock_guard lock(mutex_);
        taken = std::exchange(*written_, {});
    }
    taken.normalise();
    return taken;
}

VolumeDisk::Pause::Pause(VolumeDisk& disk) : disk_(disk) {
    std::unique_lock lock(disk_.mutex_);
    disk_.paused_ = true;
    disk_.changed_.wait(lock, [this] { return disk_.inside_ == 0; });
}

VolumeDisk::Pause::~Pause() {
    std::lock_guard lock(disk_.mutex_);
    disk_.paused_ = false;
    disk_.changed_.notify_all();
}

void VolumeDisk::Pause::go_on_with(std::shared_ptr<Draft> next) {
    std::lock_guard lock(disk_.mutex_);
    disk_.draft_.swap(next);
}

Result<void> VolumeDisk::usable() const {
    std::lock_guard lock(mutex_);
    return lost_ ? tl::unexpected(*lost_) : Result<void>();
}

void VolumeDisk::lose(Error why) {
    std::lock_guard lock(mutex_);
    lost_ = std::move(why);
}

}  // namespace hyper
