// SPDX-License-Identifier: Apache-2.0
// Design note: taking generation n away, where q is the kept one before it and m the one after.
//
// 1. The newest data file gets a record that says so: a rebuilt index will not have it either.
// 2. n is marked (pruned_marks.h). From now on its readers get ESTALE, also those in the middle of a read.
// 3. List by list of n's changes: a block's entries of (q, n] that nobody can see any more are removed, their places are noted to be punched out,
//    and the list becomes one of m's. One list is one RocksDB batch, so that it is done or not.
// 4. n's own key goes, and its companions that no other generation has. 5. What is noted is punched out of the data files, in whole pages.
//
// Killed at any point, the next writer finds n marked and goes on with step 3; punching twice does no harm. An entry is needed as long as
// it is the newest one not newer than a kept generation, or than the pending one.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "blockengine/base/bytes.h"
#include "blockengine/volume/small_file.h"
#include "blockengine/volume/volume_writer.h"

namespace hyper {

namespace {

constexpr uint64_t page_bytes = 4096;
constexpr size_t punched_at_once = 4096;

}  // namespace

Result<VolumeWriter::Pruned> VolumeWriter::prune(uint32_t number) {
    TRY(usable());
    Generation generation = TRY(volume_->find(std::to_string(number)));
    if (number + 1 == pending_)
        return fail(EINVAL, "{}: generation {} is the newest, which stays", paths_.folder, number);
    if (generation.pinned)
        return fail(EINVAL, "{}: generation {} is pinned (hyperctl volume unpin lets go of it)", paths_.folder, number);
    return kept(prune_all(generation));
}

Result<VolumeWriter::Pruned> VolumeWriter::prune_all(const Generation& generation) {
    const uint32_t number = generation.number;
    TRY(data_->append_text(RecordKind::pruned, number, generation.attempt, fmt::format("[{}]", number)));
    TRY(data_->sync());
    IndexBatch batch;
    save_state(batch);
    TRY(index_->write(batch, true));
    auto marks = TRY(PrunedMarks::open(paths_.pruned(), true));
    TRY(marks.mark(number));
    // A sign to readers, as a commit is: whoever lists the generations, or opens this one again, looks anew.
    std::string newest = TRY(read_small_file(paths_.latest()));
    TRY(write_small_file(paths_.latest(), newest));
    TRY(remove_pruned(number));
    const std::vector<Generation> kept = TRY(volume_->generations());
    TRY(remove_other_companions(paths_, kept));
    return Pruned{TRY(punch_out())};
}

Result<void> VolumeWriter::finish_pruning() {
    for (const auto& [number, json] : TRY(index_->generations()))
        if (volume_->pruned().pruned(number)) TRY(remove_pruned(number));
    TRY(punch_out());
    return {};
}

Result<void> VolumeWriter::remove_pruned(uint32_t number) {
    uint32_t before = 0, after = 0;
    for (const auto& [other, json] : TRY(index_->generations())) {
        if (other < number) before = other;
        if (other > number && after == 0) after = other;
    }
    if (after == 0) return fail(EIO, "{}: generation {} is marked as pruned, but is the newest", paths_.folder, number);
    // Lists of `after` get numbers behind those that it has.
    uint32_t next_sequence = 0;
    TRY(index_->visit_runs(after, [&](uint32_t sequence, std::span<const std::byte>) -> Result<void> {
        next_sequence = sequence + 1;
        return {};
    }));
    std::vector<uint32_t> sequences;
    TRY(index_->visit_runs(number, [&](uint32_t sequence, std::span<const std::byte>) -> Result<void> {
        sequences.push_back(sequence);
        return {};
    }));
    for (uint32_t sequence : sequences) {
        IndexBatch batch;
        auto cursor = TRY(index_->cursor());
        auto remove_of_block = [&](uint64_t block) -> Result<void> {
            auto all = TRY(cursor->all_of(block));
            // Newest first. Somebody after `number` sees the newest of (before, number] unless there is one of (number, after].
            bool seen = std::ranges::none_of(all, [&](const auto& one) { return one.generation > number && one.generation <= after; });
            std::vector<BlockEntry> kept, removed;
            for (const auto& one : all) {
                bool within = one.generation > before && one.generation <= number;
                if (within && !seen) {
                    batch.remove_block(block, one.generation);
                    removed.push_back(one.entry);
                } else {
                    kept.push_back(one.entry);
                    if (within) seen = false;
                }
            }
            for (const BlockEntry& entry : removed) {
                bool stored = entry.codec == BlockCodec::plain || entry.codec == BlockCodec::zstd;
                bool referred = std::ranges::any_of(kept, [&](const BlockEntry& other) { return other.place == entry.place; });
                if (stored && !referred) batch.put_punched({entry.place.file, entry.place.offset, entry.place.stored_bytes});
            }
            return {};
        };
        auto list = TRY(index_->runs(number, sequence));
        auto bytes = bytes_of_text(*list);
        BlockRuns changed = TRY(BlockRuns::decode(bytes));
        for (const BlockRun& run : changed.runs())
            for (uint64_t block = run.first; block < run.first + run.count; ++block) TRY(remove_of_block(block));
        batch.put_runs(after, next_sequence++, bytes);
        batch.remove_runs(number, sequence);
        TRY(index_->write(batch, false));
    }
    IndexBatch batch;
    batch.remove_generation(number);
    return index_->write(batch, true);
}

// Only whole pages: what shares a page with a neighbour stays until that goes too, or for good. The index says durably that nobody refers
// to what is punched out.
Result<uint64_t> VolumeWriter::punch_out() {
    uint64_t freed = 0;
    for (;;) {
        auto ranges = TRY(index_->punched(punched_at_once));
        if (ranges.empty()) return freed;
        IndexBatch batch;
        for (size_t i = 0; i < ranges.size();) {
            // Neighbours in a file go together, and so do the pages that they share.
            uint64_t start = ranges[i].offset, end = start + ranges[i].length;
            size_t next = i + 1;
            while (next < ranges.size() && ranges[next].file == ranges[i].file && ranges[next].offset == end) end += ranges[next++].length;
            UniqueFd file(::open(paths_.data_file(ranges[i].file).c_str(), O_WRONLY | O_CLOEXEC));
            if (!file) return fail(errno, "{}: open: {}", paths_.data_file(ranges[i].file), errno_text(errno));
            uint64_t from = round_up(start, page_bytes), to = round_down(end, page_bytes);
            if (from < to) {
                if (::fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(from),
                                static_cast<off_t>(to - from)) == 0)
                    freed += to - from;
                else if (errno != EOPNOTSUPP)
                    return fail(errno, "{}: punch out {} bytes at offset {}: {}", paths_.data_file(ranges[i].file), to - from, from,
                                errno_text(errno));
            }
            for (; i < next; ++i) batch.remove_punched(ranges[i]);
        }
        TRY(index_->write(batch, false));
    }
}

}  // namespace hyper
