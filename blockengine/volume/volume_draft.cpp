// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/volume_draft.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "blockengine/base/bytes.h"
#include "blockengine/base/log.h"
#include "blockengine/volume/small_file.h"

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

struct BlockSizes {
    uint64_t disk_bytes, block_bytes;
};

// Those of which any part lies in a run of sectors.
void add_blocks(BlockRuns& blocks, uint64_t first_sector, uint64_t sectors, BlockSizes sizes) {
    uint64_t first = first_sector * draft_sector_bytes / sizes.block_bytes;
    uint64_t end = divide_up(std::min((first_sector + sectors) * draft_sector_bytes, sizes.disk_bytes), sizes.block_bytes);
    blocks.add(first, end - first);
}

// Where a commit prepares what is to take the draft's place: what is there counts for nothing.
std::string next_folder(const Volume& volume) { return volume.paths().draft() + ".next"; }

Result<void> remove_prepared(const Volume& volume) {
    std::error_code error;
    fs::remove_all(next_folder(volume), error);
    if (error) return fail(error.value(), "remove {}: {}", next_folder(volume), errno_text(error.value()));
    return {};
}

// Killed after the commit, and before the draft was removed?
Result<void> remove_committed(VolumeWriter& writer) {
    TRY(remove_prepared(*writer.volume()));
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
    auto draft = TRY(Draft::open(draft_folder, identity_of(writer, newest.number, newest.size_bytes), std::move(base), engine));
    opened->disk_ = std::make_shared<VolumeDisk>(std::move(draft));
    return opened;
}

// The draft of a volume that has no generation yet.
Result<void> VolumeDraft::open_first(const OpenLazySource& open_lazy_source) {
    const Volume& volume = *writer_->volume();
    lazy_ = TRY(read_lazy_source(volume.paths().draft()));
    if (!lazy_) return fail(EIO, "{}: has a draft, and neither a generation nor a source that it could be of", volume.folder());
    if (!lazy_->hydrated) base_ = TRY(open_lazy_source(*lazy_));
    auto draft = TRY(Draft::open(volume.paths().draft(), identity_of(*writer_, 0, lazy_->size_bytes), base_, volume.engine()));
    disk_ = std::make_shared<VolumeDisk>(std::move(draft));
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
    TRY(hyper::hydrate(writer_->volume()->engine(), *disk_->draft(), *base_, lazy_->first, options));
    lazy_->hydrated = true;
    TRY(write_lazy_source(writer_->volume()->paths().draft(), *lazy_));
    lazy_.reset();
    return {};
}

Result<void> VolumeDraft::all_here() const {
    if (!lazy_) return {};
    return fail(EBUSY, "{}: is not filled from its source yet, so there is no generation to be made (hyperctl volume hydrate goes on)",
                writer_->volume()->folder());
}

// Into the pending generation.
Result<void> VolumeDraft::store_all(const StoreOptions& options) {
    BlockRuns blocks = TRY(writer_->pending_runs());
    const BlockSizes sizes{disk_->size_bytes(), writer_->volume()->block_bytes()};
    disk_->draft()->visit_changed([&](const SectorRun& run) {
        add_blocks(blocks, run.first, run.count, sizes);
        return true;
    });
    blocks.normalise();
    auto stored = store_blocks(*writer_, *disk_->source(), blocks, std::nullopt, options);
    return stored ? Result<void>() : tl::unexpected(stored.error());
}

Result<void> VolumeDraft::store_again(const BlockRuns& blocks, const StoreOptions& options) {
    auto stored = store_blocks(*writer_, *disk_->source(), blocks, std::nullopt, options);
    return stored ? Result<void>() : tl::unexpected(stored.error());
}

BlockRuns VolumeDraft::blocks_written() {
    BlockRuns blocks;
    const BlockSizes sizes{disk_->size_bytes(), writer_->volume()->block_bytes()};
    const BlockRuns sectors = disk_->take_written();
    for (const BlockRun& run : sectors.runs()) add_blocks(blocks, run.first, run.count, sizes);
    blocks.normalise();
    return blocks;
}

Result<Generation> VolumeDraft::make_generation() {
    int64_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
    return writer_->commit({.size_bytes = disk_->size_bytes(), .time = now, .origin = {"draft", ""}, .draft_id = disk_->draft()->id()});
}

Result<std::optional<Generation>> VolumeDraft::commit(const StoreOptions& options) {
    TRY(all_here());
    auto draft = disk_->draft();
    if (!anything_written(*draft)) {
        TRY(draft->discard());
        return std::nullopt;
    }
    TRY(disk_->flush());
    TRY(store_all(options));
    auto generation = TRY(make_generation());
    TRY(draft->discard());
    return generation;
}

Result<std::optional<Generation>> VolumeDraft::commit_while_written(const StoreOptions& options) {
    TRY(all_here());
    TRY(disk_->usable());
    TRY(writer_->usable());
    disk_->remember(true);
    auto made = commit_and_go_on(options);
    disk_->remember(false);
    return made;
}

// What is read while it is written may be torn. It is remembered before it is written to its end, and stored again, in rounds; the last of it
// while nobody writes. All that takes long, or can go wrong without harm, is done before that.
Result<std::optional<Generation>> VolumeDraft::commit_and_go_on(const StoreOptions& options) {
    // What may be stored while others wait to write: at first little, and when that does not come to be, what takes a second or two.
    constexpr uint64_t little_bytes = 16 * MiB, much_bytes = 256 * MiB;
    constexpr unsigned rounds_max = 16;
    const std::shared_ptr<Draft> draft = disk_->draft();  // kept until others write again, since closing a large file takes time
    const uint64_t block_bytes = writer_->volume()->block_bytes();
    if (!anything_written(*draft)) return std::nullopt;
    TRY(prepare_next());
    TRY(store_all(options));
    for (unsigned round = 0; round < rounds_max; ++round) {
        const uint64_t most_bytes = round < rounds_max / 2 ? little_bytes : much_bytes;
        TRY(draft->flush());
        TRY(writer_->data().sync());
        BlockRuns rest = blocks_written();
        if (rest.block_count() * block_bytes <= most_bytes) {
            VolumeDisk::Pause pause(*disk_);
            const BlockRuns last = blocks_written();
            const BlockRuns* both[] = {&rest, &last};
            rest = BlockRuns::union_of(both);
            if (rest.block_count() * block_bytes <= most_bytes) return end_in_pause(pause, *draft, rest, options);
        }
        TRY(store_again(rest, options));
    }
    return fail(EBUSY, "{}: is written faster than it is stored, so no generation was made of it; try again when less is written",
                writer_->volume()->folder());
}

Result<Generation> VolumeDraft::end_in_pause(VolumeDisk::Pause& pause, Draft& draft, const BlockRuns& rest, const StoreOptions& options) {
    TRY(draft.flush());
    StoreOptions quietly = options;
    quietly.done = nullptr;
    TRY(store_again(rest, quietly));
    auto generation = make_generation();
    // From here on what went into the old draft would be lost with it.
    auto next = generation ? take_next(*generation) : tl::unexpected(generation.error());
    if (!next) {
        Error why{next.error().code, fmt::format("{}: takes no more writes until all who have it open are gone, since a commit failed at its end: {}",
                                                 writer_->volume()->folder(), next.error().message)};
        disk_->lose(why);
        return tl::unexpected(std::move(why));
    }
    pause.go_on_with(std::move(*next));
    return generation;
}

// A draft upon the generation to come.
Result<void> VolumeDraft::prepare_next() {
    const Volume& volume = *writer_->volume();
    TRY(remove_prepared(volume));
    auto made = Draft::open(next_folder(volume), identity_of(*writer_, writer_->pending(), disk_->size_bytes()), nullptr, volume.engine());
    return made ? Result<void>() : tl::unexpected(made.error());
}

Result<std::shared_ptr<Draft>> VolumeDraft::take_next(const Generation& base) {
    const Volume& volume = *writer_->volume();
    auto source = TRY(volume.open_generation(base));
    TRY(disk_->draft()->discard());
    if (::rename(next_folder(volume).c_str(), volume.paths().draft().c_str()) != 0)
        return fail(errno, "{}: rename: {}", next_folder(volume), errno_text(errno));
    TRY(sync_folder(volume.folder()));
    return Draft::open(volume.paths().draft(), identity_of(*writer_, base.number, base.size_bytes), std::move(source), volume.engine());
}

Result<void> VolumeDraft::discard() { return disk_->draft()->discard(); }

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
