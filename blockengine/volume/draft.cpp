// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/draft.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <vector>

#include "blockengine/base/bytes.h"
#include "blockengine/base/hex.h"
#include "blockengine/base/log.h"

namespace hyper {

// Opening.

Result<std::shared_ptr<Draft>> Draft::open(const std::string& folder, const DraftIdentity& identity,
                                           std::shared_ptr<const Source> base, Engine& engine) {
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
        return fail(errno, "make {}: {}", folder, errno_text(errno));
    std::shared_ptr<Draft> draft(new Draft(folder, std::move(base), engine, identity.size_bytes));
    std::string path = folder + "/data";
    int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return fail(errno, "open {}: {}", path, errno_text(errno));
    // Locked before anything is looked at.
    draft->data_ = TRY(WritableFile::adopt(fd, path, engine.io()));
    draft->log_ = TRY(DraftLog::open(folder, identity, engine.io(), draft->map_));
    if (draft->log_->exists())
        TRY(draft->go_on(identity.size_bytes));
    else
        TRY(draft->begin(identity.size_bytes));
    return draft;
}

Result<void> Draft::go_on(uint64_t wanted_bytes) {
    if (size_bytes() != wanted_bytes)
        return fail(EIO, "{}/data has {} bytes, and not the {} of the disk; the draft cannot be continued", folder_, size_bytes(),
                    wanted_bytes);
    return {};
}

// It exists once its log does. What an earlier attempt may have left in the file goes.
Result<void> Draft::begin(uint64_t wanted_bytes) {
    if (::ftruncate(fd(), 0) != 0 || ::ftruncate(fd(), static_cast<off_t>(wanted_bytes)) != 0)
        return fail(errno, "{}/data: make it {} bytes: {}", folder_, wanted_bytes, errno_text(errno));
    data_ = TRY(data_->with_present_size());
    TRY(sync(fd()));
    TRY(rewrite_log());
    std::string parent = std::filesystem::path(folder_).parent_path().string();
    UniqueFd parent_fd(::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!parent_fd) return fail(errno, "open {}: {}", parent, errno_text(errno));
    return sync(parent_fd.get());
}

// Reading.

class Draft::View : public Source {
  public:
    explicit View(std::shared_ptr<const Draft> draft) : draft_(std::move(draft)) {}
    uint64_t size_bytes() const override { return draft_->size_bytes(); }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override {
        return draft_->map_pieces(offset, length, out);
    }

  private:
    std::shared_ptr<const Draft> draft_;
};

std::shared_ptr<const Source> Draft::source() { return std::make_shared<View>(shared_from_this()); }

Result<void> Draft::map_pieces(uint64_t offset, uint64_t length, PieceList& out) const {
    std::array<SectorRun, 64> found;
    uint64_t end = offset + length;
    while (offset < end && !out.full()) {
        Sectors sectors = touched(offset, end - offset);
        size_t count = map_.runs(sectors.first, sectors.count, found);
        for (const SectorRun& run : std::span(found).first(count)) {
            uint64_t here = std::min(end, (run.first + run.count) * draft_sector_bytes) - offset;
            uint64_t before = out.length();
            if (run.state == SectorState::data)
                out.file(data_->file(), offset, here);
            else if (run.state == SectorState::zero)
                out.zeros(here);
            else
                TRY(map_parent(base_.get(), offset, here, out));
            offset += out.length() - before;
            if (out.full() || out.length() - before < here) return {};
        }
    }
    return {};
}

// Writing.

Draft::Sectors Draft::touched(uint64_t offset, uint64_t length) {
    uint64_t first = offset / draft_sector_bytes;
    return {first, divide_up(offset + length, draft_sector_bytes) - first};
}

// Those that lie in the range as a whole; what would lie past the disk's end does not count.
Draft::Sectors Draft::covered(uint64_t offset, uint64_t length) const {
    uint64_t first = divide_up(offset, draft_sector_bytes);
    uint64_t end = offset + length == size_bytes() ? map_.sectors() : (offset + length) / draft_sector_bytes;
    return {first, end > first ? end - first : 0};
}

// Whether all sectors that the range touches are either in the file or covered as a whole.
bool Draft::is_copied_up(uint64_t offset, uint64_t length) const {
    Sectors all = touched(offset, length), whole = covered(offset, length);
    if (whole.count == all.count) return true;
    uint64_t last = all.first + all.count - 1;
    bool first_whole = whole.count > 0 && whole.first == all.first;
    bool last_whole = whole.count > 0 && whole.first + whole.count == all.first + all.count;
    return (first_whole || map_.at(all.first) == SectorState::data) && (last_whole || map_.at(last) == SectorState::data);
}

Result<void> Draft::prepare_write(uint64_t offset, uint64_t length) {
    Sectors all = touched(offset, length);
    bool may_wait = !no_wait_asked();
    auto would_wait = [&] { return fail(EAGAIN, "{}: write {} bytes at offset {}: would wait", folder_, length, offset); };
    if (!locks_.enter(all.first, all.count, false, may_wait)) return would_wait();
    if (is_copied_up(offset, length)) return {};
    locks_.leave(all.first, all.count);
    if (!may_wait) return would_wait();
    // Alone from before the copy until after the write, so that neither takes back what another wrote.
    locks_.enter(all.first, all.count, true, true);
    auto copied = copy_up(offset, length);
    if (!copied) locks_.leave(all.first, all.count);
    return copied;
}

void Draft::written(uint64_t offset, uint64_t length, int, int error) {
    Sectors all = touched(offset, length);
    if (error == 0) map_.mark(all.first, all.count, SectorState::data);
    locks_.leave(all.first, all.count);
}

// What the range leaves of its first and of its last sector.
Result<void> Draft::copy_up(uint64_t offset, uint64_t length) {
    uint64_t end = offset + length;
    uint64_t first = round_down(offset, draft_sector_bytes);
    uint64_t last = round_down(end, draft_sector_bytes), last_end = std::min(last + draft_sector_bytes, size_bytes());
    if (first < offset && map_.at(first / draft_sector_bytes) != SectorState::data) TRY(copy(first, offset));
    if (last < end && end < last_end && map_.at(last / draft_sector_bytes) != SectorState::data) TRY(copy(end, last_end));
    return {};
}

Result<void> Draft::copy(uint64_t begin, uint64_t end) {
    std::array<std::byte, draft_sector_bytes> memory;
    std::span<std::byte> bytes = std::span(memory).first(end - begin);
    TRY(engine_.read(View(shared_from_this()), begin, bytes));
    WriteOp op{fd(), begin, bytes, 0};
    engine_.io().write({&op, 1});
    if (op.error != 0)
        return fail(op.error, "{}/data: write {} bytes at offset {}: {}", folder_, bytes.size(), begin, errno_text(op.error));
    return {};
}

Result<void> Draft::zero(uint64_t offset, uint64_t length, bool keep_allocated, bool fast) {
    Sectors whole = covered(offset, length);
    uint64_t end = offset + length;
    if (whole.count == 0) return zero_bytes(offset, end);
    TRY(zero_sectors(whole, keep_allocated, fast));
    TRY(zero_bytes(offset, whole.first * draft_sector_bytes));
    return zero_bytes(std::min(end, (whole.first + whole.count) * draft_sector_bytes), end);
}

Result<void> Draft::trim(uint64_t offset, uint64_t length) {
    Sectors whole = covered(offset, length);
    return whole.count > 0 ? zero_sectors(whole, false, false) : Result<void>();
}

// Alone, so that no write of the same sectors is under way that would bring back what it found there.
Result<void> Draft::zero_sectors(Sectors sectors, bool keep_allocated, bool fast) {
    uint64_t offset = sectors.first * draft_sector_bytes;
    uint64_t length = std::min(size_bytes() - offset, sectors.count * draft_sector_bytes);
    locks_.enter(sectors.first, sectors.count, true, true);
    // That the file has zeros there is not needed: the map says so.
    auto done = keep_allocated ? data_->zero(offset, length, true, fast) : data_->trim(offset, length);
    if (done) map_.mark(sectors.first, sectors.count, SectorState::zero);
    locks_.leave(sectors.first, sectors.count);
    return done;
}

// Less than two sectors.
Result<void> Draft::zero_bytes(uint64_t begin, uint64_t end) {
    static constexpr std::array<std::byte, 2 * draft_sector_bytes> zeros{};
    return begin < end ? write(*this, begin, std::span(zeros).first(end - begin), false) : Result<void>();
}

// Filling it from its base.

SectorRun Draft::next_absent(uint64_t first) const {
    std::array<SectorRun, 64> found;
    while (first < map_.sectors()) {
        size_t count = map_.runs(first, map_.sectors() - first, found);
        for (const SectorRun& run : std::span(found).first(count)) {
            if (run.state == SectorState::absent) return run;
            first = run.first + run.count;
        }
    }
    return {};
}

void Draft::visit_absent(Sectors sectors, const std::function<void(const SectorRun&)>& visit) const {
    std::array<SectorRun, 64> found;
    for (uint64_t at = sectors.first, end = sectors.first + sectors.count; at < end;) {
        size_t count = map_.runs(at, end - at, found);
        for (const SectorRun& run : std::span(found).first(count)) {
            if (run.state == SectorState::absent) visit(run);
            at = run.first + run.count;
        }
    }
}

// Alone, so that what is absent stays so until it is marked.
Result<void> Draft::fill(uint64_t offset, std::span<const std::byte> bytes) {
    if (bytes.empty()) return {};
    Sectors sectors = touched(offset, bytes.size());
    std::vector<WriteOp> writes;
    std::vector<SectorRun> runs;
    locks_.enter(sectors.first, sectors.count, true, true);
    visit_absent(sectors, [&](const SectorRun& run) {
        uint64_t begin = run.first * draft_sector_bytes - offset;
        auto part = bytes.subspan(begin, std::min(run.count * draft_sector_bytes, bytes.size() - begin));
        runs.push_back({run.first, run.count, all_zero(part) ? SectorState::zero : SectorState::data});
        if (runs.back().state == SectorState::data) writes.push_back({fd(), offset + begin, part, 0});
    });
    if (!writes.empty()) engine_.io().write(writes);
    auto failed = std::ranges::find_if(writes, [](const WriteOp& op) { return op.error != 0; });
    if (failed == writes.end())
        for (const SectorRun& run : runs) map_.mark(run.first, run.count, run.state);
    locks_.leave(sectors.first, sectors.count);
    if (failed != writes.end())
        return fail(failed->error, "{}/data: write {} bytes at offset {}: {}", folder_, failed->buffer.size(), failed->offset,
                    errno_text(failed->error));
    return {};
}

Result<void> Draft::fill_zeros(uint64_t offset, uint64_t length) {
    if (length == 0) return {};
    Sectors sectors = touched(offset, length);
    locks_.enter(sectors.first, sectors.count, true, true);
    visit_absent(sectors, [&](const SectorRun& run) { map_.mark(run.first, run.count, SectorState::zero); });
    locks_.leave(sectors.first, sectors.count);
    return {};
}

// Making it durable.

Result<void> Draft::sync(int fd) {
    if (int error = engine_.io().sync(fd); error != 0) lost_ = error;
    if (lost_ != 0)
        return fail(lost_, "{}: flush: {}; what was written since the last flush may be lost", folder_, errno_text(lost_));
    return {};
}

Result<void> Draft::flush() {
    uint64_t begun_before = flushes_begun_;
    std::lock_guard lock(flush_mutex_);
    // While this waited, another has begun and ended.
    if (flush_done_ > begun_before && lost_ == 0) return {};
    uint64_t number = ++flushes_begun_;
    TRY(flush_now());
    flush_done_ = number;
    return {};
}

Result<void> Draft::flush_now() {
    DraftMap::Changes changes = map_.take_changes();
    auto done = [&]() -> Result<void> {
        if (changes.all) return rewrite_log();
        if (!changes.empty() && log_->bulky()) {
            auto rewritten = rewrite_log();
            if (rewritten || lost_ != 0) return rewritten;
            log_warning("{}; the log of the draft grows on", rewritten.error().message);
        }
        TRY(sync(fd()));
        if (changes.empty()) return {};
        TRY(log_->append(changes.runs));
        return sync(log_->fd());
    }();
    if (!done) map_.put_back(changes);
    return done;
}

// All that is marked goes into a new log, before the file is synced; it counts only after that.
Result<void> Draft::rewrite_log() {
    auto done = [&]() -> Result<void> {
        TRY(log_->write_new(map_));
        TRY(sync(fd()));
        TRY(sync(log_->new_fd()));
        return log_->take_new();
    }();
    if (!done) {
        log_->drop_new();
        return done;
    }
    return sync(log_->folder_fd());
}

std::string Draft::id() const { return hex(log_->id()); }

Result<void> Draft::discard() {
    std::lock_guard lock(flush_mutex_);
    TRY(log_->remove());
    int folder_synced = engine_.io().sync(log_->folder_fd());
    lost_ = ESTALE;
    if (folder_synced != 0) return fail(folder_synced, "remove {}: {}", folder_, errno_text(folder_synced));
    std::error_code error;
    std::filesystem::remove_all(folder_, error);
    if (error) return fail(error.value(), "remove {}: {}", folder_, errno_text(error.value()));
    return {};
}

}  // namespace hyper
