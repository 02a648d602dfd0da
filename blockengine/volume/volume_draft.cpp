// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/volume_draft.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>

#include "blockengine/base/bytes.h"
#include "blockengine/base/log.h"

namespace hyper {

namespace {

namespace fs = std::filesystem;

DraftIdentity identity_of(const VolumeWriter& writer, uint32_t base, uint64_t size_bytes) {
    return {writer.volume()->info().id, base, size_bytes};
}

// Nobody looks into it again.
class Overlay {
  public:
    Overlay(std::shared_ptr<Draft> disk, std::string folder) : disk_(std::move(disk)), folder_(std::move(folder)) {}
    ~Overlay() {
        disk_ = nullptr;
        std::error_code error;
        fs::remove_all(folder_, error);
        if (error) log_warning("{}: remove: {}", folder_, errno_text(error.value()));
    }
    Overlay(const Overlay&) = delete;
    Overlay& operator=(const Overlay&) = delete;
    Draft* disk() const { return disk_.get(); }

  private:
    std::shared_ptr<Draft> disk_;
    std::string folder_;
};

bool is_there(const std::string& draft_folder) { return fs::exists(draft_folder + "/map"); }

bool anything_written(const Draft& draft) {
    bool anything = false;
    draft.visit_changed([&](const SectorRun&) {
        anything = true;
        return false;
    });
    return anything;
}

// Killed after the commit, and before the draft was removed?
Result<void> remove_committed(VolumeWriter& writer) {
    const std::string folder = writer.volume()->paths().draft();
    if (!is_there(folder)) return {};
    auto all = TRY(writer.volume()->generations());
    if (all.empty() || all.back().draft_id.empty()) return {};
    auto leftover = Draft::open(folder, identity_of(writer, all.back().number - 1, all.back().size_bytes), nullptr, writer.volume()->engine());
    if (!leftover || (*leftover)->id() != all.back().draft_id) return {};
    return (*leftover)->discard();
}

}  // namespace

Result<DraftFound> find_draft(VolumeWriter& writer) {
    TRY(remove_committed(writer));
    const std::string folder = writer.volume()->paths().draft();
    if (!is_there(folder)) return DraftFound::none;
    auto all = TRY(writer.volume()->generations());
    if (all.empty()) return DraftFound::written;
    auto draft = Draft::open(folder, identity_of(writer, all.back().number, all.back().size_bytes), nullptr, writer.volume()->engine());
    if (!draft || anything_written(**draft)) return DraftFound::written;
    TRY((*draft)->discard());
    return DraftFound::nothing_written;
}

Result<std::unique_ptr<VolumeDraft>> VolumeDraft::open(Engine& engine, const std::string& folder, const OpenLazySource& open_lazy_source) {
    std::unique_ptr<VolumeDraft> opened(new VolumeDraft(TRY(VolumeWriter::open(engine, folder))));
    VolumeWriter& writer = *opened->writer_;
    TRY(remove_committed(writer));
    auto all = TRY(writer.volume()->generations());
    const std::string draft_folder = writer.volume()->paths().draft();
    if (all.empty() && is_there(draft_folder)) {
        TRY(opened->open_first(open_lazy_source));
        return opened;
    }
    auto newest = TRY(find_generation(all, "latest"));
    auto base = TRY(writer.volume()->open_generation(newest));
    opened->disk_ = TRY(Draft::open(draft_folder, identity_of(writer, newest.number, newest.size_bytes), std::move(base), engine));
    return opened;
}

// The draft of a volume that has no generation yet.
Result<void> VolumeDraft::open_first(const OpenLazySource& open_lazy_source) {
    const Volume& volume = *writer_->volume();
    lazy_ = TRY(read_lazy_source(volume.paths().draft()));
    if (!lazy_) return fail(EIO, "{}: has a draft, and neither a generation nor a source that it could be of", volume.folder());
    if (!lazy_->hydrated) base_ = TRY(open_lazy_source(*lazy_));
    disk_ = TRY(Draft::open(volume.paths().draft(), identity_of(*writer_, 0, lazy_->size_bytes), base_, volume.engine()));
    if (lazy_->hydrated) lazy_.reset();
    return {};
}

Result<void> VolumeDraft::begin_lazy(VolumeWriter& writer, const LazySource& source) {
    const Volume& volume = *writer.volume();
    const std::string folder = volume.paths().draft();
    if (is_there(folder) || !TRY(volume.generations()).empty())
        return fail(EEXIST, "{}: something is in it already, so it cannot be filled from elsewhere", volume.folder());
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return fail(errno, "make {}: {}", folder, errno_text(errno));
    // First of all, so that a draft without a generation always has one.
    TRY(write_lazy_source(folder, source));
    TRY(Draft::open(folder, identity_of(writer, 0, source.size_bytes), nullptr, volume.engine()));
    return {};
}

Result<void> VolumeDraft::hydrate(const HydrateOptions& options) {
    if (!lazy_) return {};
    TRY(hyper::hydrate(writer_->volume()->engine(), *disk_, *base_, lazy_->first, options));
    lazy_->hydrated = true;
    TRY(write_lazy_source(writer_->volume()->paths().draft(), *lazy_));
    lazy_.reset();
    return {};
}

Result<std::optional<Generation>> VolumeDraft::commit(const StoreOptions& options) {
    if (lazy_)
        return fail(EBUSY, "{}: is not filled from its source yet, so there is no generation to be made (hyperctl volume hydrate goes on)",
                    writer_->volume()->folder());
    if (!anything_written(*disk_)) {
        TRY(disk_->discard());
        return std::nullopt;
    }
    TRY(disk_->flush());
    const uint64_t block_bytes = writer_->volume()->block_bytes();
    BlockRuns runs = TRY(writer_->pending_runs());
    disk_->visit_changed([&](const SectorRun& run) {
        uint64_t first = run.first * draft_sector_bytes / block_bytes;
        uint64_t end = divide_up(std::min((run.first + run.count) * draft_sector_bytes, disk_->size_bytes()), block_bytes);
        runs.add(first, end - first);
        return true;
    });
    runs.normalise();
    auto source = disk_->source();
    TRY(store_blocks(*writer_, *source, runs, std::nullopt, options));
    int64_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
    auto generation = TRY(writer_->commit({.size_bytes = disk_->size_bytes(), .time = now, .origin = {"draft", ""}, .draft_id = disk_->id()}));
    TRY(disk_->discard());
    return generation;
}

Result<void> VolumeDraft::discard() { return disk_->discard(); }

Result<std::shared_ptr<WritableDisk>> open_overlay(Engine& engine, const std::string& volume_folder, std::shared_ptr<const Source> base) {
    std::string folder = volume_folder + "/overlay-XXXXXX";
    if (::mkdtemp(folder.data()) == nullptr) return fail(errno, "{}: make the folder: {}", folder, errno_text(errno));
    uint64_t size_bytes = base->size_bytes();
    auto disk = Draft::open(folder, {{}, 1, size_bytes}, std::move(base), engine);
    if (!disk) {
        std::error_code ignored;
        fs::remove_all(folder, ignored);
        return tl::unexpected(disk.error());
    }
    auto overlay = std::make_shared<Overlay>(std::move(*disk), folder);
    return std::shared_ptr<WritableDisk>(overlay, overlay->disk());
}

}  // namespace hyper
