// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/volume_draft.h"

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

Result<std::unique_ptr<VolumeDraft>> VolumeDraft::open(Engine& engine, const std::string& folder) {
    auto writer = TRY(VolumeWriter::open(engine, folder));
    TRY(remove_committed(*writer));
    auto newest = TRY(writer->volume()->find("latest"));
    auto base = TRY(writer->volume()->open_generation(newest));
    auto disk = TRY(Draft::open(writer->volume()->paths().draft(), identity_of(*writer, newest.number, newest.size_bytes), std::move(base), engine));
    return std::unique_ptr<VolumeDraft>(new VolumeDraft(std::move(writer), std::move(disk)));
}

Result<std::optional<Generation>> VolumeDraft::commit(const StoreOptions& options) {
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
