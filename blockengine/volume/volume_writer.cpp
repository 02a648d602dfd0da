// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/volume_writer.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <future>
#include <nlohmann/json.hpp>

#include "blockengine/base/bytes.h"
#include "blockengine/base/log.h"
#include "blockengine/volume/small_file.h"
#include "blockengine/volume/stored_block.h"
#include "blockengine/volume/volume_lock.h"

namespace hyper {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::string_view state_name = "pending";

// After so much stored, data files are made durable, so that a power cut costs no more than that of a long run.
constexpr uint64_t checkpoint_bytes = uint64_t{1} << 30;

template <class T>
T random_number() {
    T value{};
    while (::getrandom(&value, sizeof value, 0) != sizeof value) {
    }
    return value;
}

}  // namespace

Result<std::unique_ptr<VolumeWriter>> VolumeWriter::create(Engine& engine, const std::string& folder, const VolumeOptions& options) {
    if (!folder.ends_with(volume_suffix))
        return fail(EINVAL, "{}: the name of a volume's folder ends in \"{}\"", folder, volume_suffix);
    if (!std::has_single_bit(options.block_bytes) || options.block_bytes < block_bytes_min || options.block_bytes > block_bytes_max)
        return fail(EINVAL, "{}: block size {}: must be a power of two from {} to {}", folder, options.block_bytes, block_bytes_min,
                    block_bytes_max);
    std::string parent = fs::absolute(folder).lexically_normal().parent_path().string();
    // It gets its name when it is whole; what a killed process left of one is in nobody's way.
    std::string fresh = fmt::format("{}/.{}.{}{}", parent, fs::path(folder).filename().string(), ::getpid(), ".new");
    VolumePaths paths(fresh);
    auto make_folder = [](const std::string& path) -> Result<void> {
        if (::mkdir(path.c_str(), 0700) != 0) return fail(errno, "{}: make the folder: {}", path, errno_text(errno));
        return {};
    };
    TRY(make_folder(fresh));
    auto made = [&]() -> Result<void> {
        TRY(make_folder(paths.data()));
        TRY(write_volume_info(fresh, {random_number<VolumeId>(), options}));
        TRY(PrunedMarks::create(paths.pruned()));
        TRY(Index::create(paths.index()));
        TRY(write_small_file(paths.latest(), "0"));
        TRY(write_small_file(paths.lock(), ""));
        TRY(sync_folder(fresh));
        if (::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, folder.c_str(), RENAME_NOREPLACE) != 0)
            return fail(errno, "{}: create: {}", folder, errno_text(errno));
        return sync_folder(parent);
    }();
    if (!made) {
        std::error_code ignored;
        fs::remove_all(fresh, ignored);
        return tl::unexpected(made.error());
    }
    return open(engine, folder);
}

Result<std::unique_ptr<VolumeWriter>> VolumeWriter::open(Engine& engine, const std::string& folder) {
    std::unique_ptr<VolumeWriter> writer(new VolumeWriter(engine, folder));
    TRY(read_volume_info(folder));
    writer->lock_ = TRY(lock_volume(writer->paths_));
    writer->index_ = std::shared_ptr<Index>(TRY(Index::open_to_write(writer->paths_.index())));
    writer->volume_ = TRY(Volume::over(engine, folder, writer->index_));
    TRY(writer->load());
    return writer;
}

VolumeWriter::~VolumeWriter() = default;

Result<void> VolumeWriter::load() {
    auto all = TRY(index_->generations());
    uint32_t newest = all.empty() ? 0 : all.back().first;
    TRY(tell_latest());
    pending_ = newest + 1;
    if (pending_ > PrunedMarks::generation_max) return fail(ENOSPC, "{}: there are no more numbers for generations", paths_.folder);
    DataPosition at;
    bool durable = false;
    attempt_ = random_number<uint64_t>();
    if (auto text = TRY(index_->get(state_name))) {
        auto state = Json::parse(*text, nullptr, false);
        try {
            at = {state.at("file"), state.at("end"), state.at("sequence")};
            durable = state.at("generation") == newest;  // nothing was appended since it was committed
            if (state.at("generation") == pending_) {
                attempt_ = state.at("attempt");
                runs_sequence_ = state.at("runs");
                checkpoint_ = state.at("checkpoint");
                stored_bytes_ = state.at("stored");
                if (state.contains("next-block"))
                    progress_ = Progress{{state.at("source"), state.at("change-id")}, state.at("size"), state.at("next-block"),
                                         state.at("compared-all")};
            }
        } catch (const Json::exception& error) {
            return fail(EIO, "{}: the index says of the pending generation: {} (hyperctl volume repair rebuilds it)", paths_.folder,
                        error.what());
        }
    }
    data_ = TRY(DataFiles::open(engine_.io(), paths_.data(), volume_->info().id, at, volume_->info().options.data_file_bytes_max, durable));
    tree_ = std::make_unique<StoredTree>(*index_, pending_);
    TRY(check_since_checkpoint());
    TRY(finish_pruning());
    return remove_other_companions(paths_, TRY(volume_->generations()));
}

// What was entered since the last checkpoint may not have reached the disk, if the machine went down. Such blocks count as lost
// until they are written anew: they are in pending_runs().
Result<void> VolumeWriter::check_since_checkpoint() {
    IndexBatch batch;
    uint64_t lost = 0;
    auto cursor = TRY(index_->cursor());
    auto visited = index_->visit_runs(pending_, [&](uint32_t sequence, std::span<const std::byte> bytes) -> Result<void> {
        if (sequence < checkpoint_) return {};
        BlockRuns list = TRY(BlockRuns::decode(bytes));
        for (const BlockRun& run : list.runs())
            for (uint64_t block = run.first; block < run.first + run.count; ++block) {
                auto found = TRY(cursor->next(block, block + 1, pending_));
                if (!found || found->generation != pending_) continue;
                if (judge(*volume_, found->entry).verdict == Verdict::good) continue;
                BlockEntry gone;
                gone.codec = BlockCodec::lost;
                batch.put_block(block, pending_, gone);
                ++lost;
                if (progress_) progress_->next_block = std::min(progress_->next_block, block);
            }
        return {};
    });
    TRY(std::move(visited));
    if (lost == 0) return {};
    log_warning("{}: {} blocks of an interrupted run did not reach the disk, and will be read again", paths_.folder, lost);
    save_state(batch);
    return index_->write(batch, true);
}

Result<BlockRuns> VolumeWriter::pending_runs() const {
    BlockRuns runs;
    auto visited = index_->visit_runs(pending_, [&](uint32_t, std::span<const std::byte> bytes) -> Result<void> {
        BlockRuns list = TRY(BlockRuns::decode(bytes));
        for (const BlockRun& run : list.runs()) runs.add(run.first, run.count);
        return {};
    });
    TRY(std::move(visited));
    runs.normalise();
    return runs;
}

namespace {

Json state_of(const DataPosition& at, uint32_t generation) {
    return {{"generation", generation}, {"file", at.file}, {"end", at.end}, {"sequence", at.sequence}};
}

void put_state(IndexBatch& batch, const Json& state) {
    batch.set(state_name, state.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

// Nothing is pending.
void VolumeWriter::save_position(IndexBatch& batch, const DataPosition& at) { put_state(batch, state_of(at, 0)); }

void VolumeWriter::save_state(IndexBatch& batch) const {
    Json state = state_of(data_->position(), pending_);
    state["attempt"] = attempt_;
    state["runs"] = runs_sequence_;
    state["checkpoint"] = checkpoint_;
    state["stored"] = stored_bytes_;
    if (progress_) {
        state["source"] = progress_->origin.source;
        state["change-id"] = progress_->origin.change_id;
        state["size"] = progress_->size_bytes;
        state["next-block"] = progress_->next_block;
        state["compared-all"] = progress_->compared_all;
    }
    put_state(batch, state);
}

Result<void> VolumeWriter::usable() const {
    if (!failed_) return {};
    return fail(failed_->code, "{}: is not written any more until it is opened anew, since this failed before: {}", paths_.folder, failed_->message);
}

Result<void> VolumeWriter::put(std::span<const StoredBlock> blocks, std::span<const NewLeaf> leaves) {
    TRY(usable());
    return kept(put_all(blocks, leaves));
}

Result<void> VolumeWriter::put_all(std::span<const StoredBlock> blocks, std::span<const NewLeaf> leaves) {
    IndexBatch batch;
    if (!blocks.empty()) {
        auto entries = TRY(data_->append_batch(pending_, attempt_, blocks));
        BlockRuns runs;
        for (size_t i = 0; i < blocks.size(); ++i) {
            batch.put_block(blocks[i].block, pending_, entries[i]);
            runs.add(blocks[i].block, 1);
            stored_bytes_ += blocks[i].bytes.size();
            stored_since_checkpoint_ += blocks[i].bytes.size();
        }
        runs.normalise();
        batch.put_runs(pending_, runs_sequence_++, runs.encode());
    }
    for (const NewLeaf& leaf : leaves) TRY(tree_->set_leaf(leaf.leaf, leaf.hash));
    TRY(tree_->save(batch));
    bool durable = stored_since_checkpoint_ >= checkpoint_bytes;
    if (durable) {
        TRY(data_->sync());
        checkpoint_ = runs_sequence_;
        stored_since_checkpoint_ = 0;
    }
    save_state(batch);
    return index_->write(batch, durable);
}

Result<Generation> VolumeWriter::commit(const Commit& commit) {
    TRY(usable());
    return kept(commit_all(commit));
}

Result<Generation> VolumeWriter::commit_all(const Commit& commit) {
    Generation generation{.number = pending_,
                          .size_bytes = commit.size_bytes,
                          .time = commit.time,
                          .root = TRY(tree_->root(commit.size_bytes)),
                          .attempt = attempt_,
                          .changed_bytes = TRY(pending_runs()).block_count() * volume_->block_bytes(),
                          .stored_bytes = stored_bytes_,
                          .origin = commit.origin,
                          .draft_id = commit.draft_id,
                          .companions = TRY(store_companions(paths_, commit.companions)),
                          .run = commit.run};
    std::string json = generation.to_json();
    TRY(data_->append_text(RecordKind::generation, pending_, attempt_, json));
    // Two files are made durable at once: the file system's journal is then written once for both.
    auto prepared = std::async(std::launch::async, [&] { return prepare_small_file(paths_.latest(), std::to_string(pending_)); });
    auto synced = data_->sync();
    TRY(prepared.get());
    TRY(std::move(synced));
    IndexBatch batch;
    TRY(tree_->save(batch));
    batch.put_generation(pending_, json);
    progress_.reset();
    save_state(batch);
    TRY(index_->write(batch, true));
    // If the power is cut before the new name is on the disk, whoever opens the volume next tells it again.
    TRY(put_in_place(paths_.latest()));
    pending_ = generation.number + 1;
    attempt_ = random_number<uint64_t>();
    runs_sequence_ = checkpoint_ = 0;
    stored_bytes_ = stored_since_checkpoint_ = 0;
    tree_ = std::make_unique<StoredTree>(*index_, pending_);
    return generation;
}

// Readers take its time as the sign that there is something new.
Result<void> VolumeWriter::tell_latest() {
    auto all = TRY(index_->generations());
    std::string newest = std::to_string(all.empty() ? 0 : all.back().first), told = TRY(read_small_file(paths_.latest()));
    if (told == newest) return {};
    if (std::strtoul(told.c_str(), nullptr, 10) > std::strtoul(newest.c_str(), nullptr, 10))
        return fail(EIO, "{}: generation {} was committed, but the index knows of {} at most (hyperctl volume repair rebuilds it)",
                    paths_.folder, told, newest);
    return write_small_file(paths_.latest(), newest);
}

Result<void> VolumeWriter::set_pinned(uint32_t number, bool pinned) {
    TRY(usable());
    Generation generation = TRY(volume_->find(std::to_string(number)));
    generation.pinned = pinned;
    return kept(change_pin(generation));
}

Result<void> VolumeWriter::change_pin(const Generation& generation) {
    std::string json = generation.to_json();
    TRY(data_->append_text(RecordKind::generation, generation.number, generation.attempt, json));
    TRY(data_->sync());
    IndexBatch batch;
    batch.put_generation(generation.number, json);
    save_state(batch);
    return index_->write(batch, true);
}

}  // namespace hyper
