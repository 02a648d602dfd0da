// SPDX-License-Identifier: Apache-2.0
// Design note: a part is a few hundred KiB to a MiB of blocks, wherever they lie. Threads take parts in order, read, hash,
// compare and pack them on their own, and hand them to the writer in that order again: so memory is a part a thread, the disk is
// read by several at once, and what the writer has is at any time all that differs up to some block.
#include "blockengine/volume/store_blocks.h"

#include <algorithm>
#include <vector>

#include "blockengine/base/bytes.h"
#include "blockengine/volume/parts.h"

namespace hyper {

namespace {

constexpr uint64_t part_bytes = 1 << 20;
constexpr int zstd_level = 1;

// One thread's work on one part at a time.
class PartWork {
  public:
    PartWork(const VolumeWriter& writer, SourceReader& reader, size_t units_a_part, uint32_t refer_to)
        : volume_(*writer.volume()),
          pending_(writer.pending()),
          refer_to_(refer_to),
          reader_(reader),
          size_bytes_(reader.source().size_bytes()),
          unit_bytes_(unit_bytes_of(volume_.block_bytes())),
          bytes_(unit_bytes_ * units_a_part),
          packed_(bytes_.size()) {}

    Result<void> look(const Part& part) {
        blocks.clear();
        leaves.clear();
        counts = {};
        packed_used_ = 0;
        // The index as it is now: this generation's parts before this one are none of its blocks.
        if (!cursor_) cursor_ = TRY(volume_.index().cursor());
        TRY(read(part));
        for (size_t i = 0; i < part.units.size(); ++i)
            TRY(look_at_unit(part.units[i], std::span<const std::byte>(bytes_).subspan(i * unit_bytes_, unit_bytes_)));
        return {};
    }

    std::vector<StoredBlock> blocks;  // refer to this object's buffers, until the next look()
    std::vector<NewLeaf> leaves;
    StoreCounts counts;

  private:
    // How many of so many bytes the source has.
    size_t bytes_there(uint64_t offset, uint64_t length) const {
        return static_cast<size_t>(offset >= size_bytes_ ? 0 : std::min(length, size_bytes_ - offset));
    }

    // Neighbouring units by one read each; past the end of the source are zeros.
    Result<void> read(const Part& part) {
        for (size_t i = 0; i < part.units.size();) {
            size_t count = 1;
            while (i + count < part.units.size() && part.units[i + count] == part.units[i] + count) ++count;
            auto target = std::span(bytes_).subspan(i * unit_bytes_, count * unit_bytes_);
            uint64_t offset = part.units[i] * unit_bytes_;
            size_t there = bytes_there(offset, target.size());
            if (there > 0) TRY(reader_.read(offset, target.first(there)));
            std::ranges::fill(target.subspan(there), std::byte{0});
            counts.read_bytes += there;
            i += count;
        }
        return {};
    }

    Result<void> look_at_unit(uint64_t unit, std::span<const std::byte> bytes) {
        const uint64_t block_bytes = volume_.block_bytes(), offset = unit * unit_bytes_;
        bool changed = false;
        for (uint64_t at = 0; at < bytes.size(); at += block_bytes) {
            uint64_t start = offset + at;
            if (!TRY(look_at_block(start / block_bytes, bytes.subspan(at, bytes_there(start, block_bytes))))) continue;
            changed = true;
            if (block_bytes >= leaf_bytes) add_leaves(start, bytes.subspan(at, block_bytes));
        }
        if (changed && block_bytes < leaf_bytes) add_leaves(offset, bytes);
        return {};
    }

    static bool has(const std::optional<BlockCursor::Found>& found, const Hash128& hash) {
        return found && (found->entry.codec == BlockCodec::plain || found->entry.codec == BlockCodec::zstd) && found->entry.hash == hash;
    }

    // Whether it differs.
    Result<bool> look_at_block(uint64_t block, std::span<const std::byte> bytes) {
        auto found = TRY(cursor_->next(block, block + 1, pending_));
        if (all_zero(bytes)) {
            if (!found || found->entry.codec == BlockCodec::zeros) return false;
            blocks.push_back({.block = block, .codec = BlockCodec::zeros, .hash = {}, .bytes = {}, .place = {}});
            counts.zero_bytes += volume_.block_bytes();
            counts.different_bytes += volume_.block_bytes();
            return true;
        }
        Hash128 hash = xxh3_128(bytes);
        if (has(found, hash)) return false;
        StoredBlock stored{.block = block, .codec = BlockCodec::plain, .hash = hash, .bytes = bytes, .place = {}};
        auto earlier = refer_to_ != 0 ? TRY(cursor_->next(block, block + 1, refer_to_)) : std::nullopt;
        if (has(earlier, hash)) {
            stored = {.block = block, .codec = earlier->entry.codec, .hash = hash, .bytes = {}, .place = earlier->entry.place};
        } else if (volume_.info().options.compress) {
            // What saves less than an eighth is not worth the unpacking.
            auto room = std::span(packed_).subspan(packed_used_, bytes.size() - bytes.size() / 8);
            if (auto used = pack(Codec::zstd, zstd_level, bytes, room)) {
                stored.codec = BlockCodec::zstd;
                stored.bytes = room.first(*used);
                packed_used_ += *used;
            }
        }
        counts.stored_bytes += stored.bytes.size();
        counts.different_bytes += volume_.block_bytes();
        blocks.push_back(stored);
        return true;
    }

    void add_leaves(uint64_t offset, std::span<const std::byte> bytes) {
        for (uint64_t at = 0; at < bytes.size(); at += leaf_bytes) {
            auto leaf = bytes.subspan(at, leaf_bytes);
            leaves.push_back({(offset + at) / leaf_bytes, all_zero(leaf) ? zero_tree(0) : leaf_hash(leaf)});
        }
    }

    const Volume& volume_;
    const uint32_t pending_, refer_to_;
    SourceReader& reader_;
    const uint64_t size_bytes_, unit_bytes_;
    std::unique_ptr<BlockCursor> cursor_;
    std::vector<std::byte> bytes_, packed_;
    size_t packed_used_ = 0;
};

}  // namespace

Result<StoreCounts> store_blocks(VolumeWriter& writer, const Source& source, const BlockRuns& runs,
                                 const std::optional<VolumeWriter::Progress>& progress, const StoreOptions& options) {
    const uint64_t block_bytes = writer.volume()->block_bytes(), unit_bytes = unit_bytes_of(writer.volume()->block_bytes());
    const size_t units_a_part = static_cast<size_t>(std::max<uint64_t>(part_bytes / unit_bytes, 1));
    PartWalk walk(runs, unit_bytes / block_bytes, units_a_part, progress ? progress->next_block : 0);
    SourceReader reader(writer.volume()->engine(), source, options.limits, options.stop);
    StoreCounts total;
    // By the thread whose turn it is.
    auto hand_over = [&](PartWork& work, const Part& part) -> Result<void> {
        if (progress) {
            auto now = *progress;
            now.next_block = (part.units.back() + 1) * (unit_bytes / block_bytes);
            writer.set_progress(std::move(now));
        }
        if (!work.blocks.empty()) TRY(writer.put(work.blocks, work.leaves));
        total.read_bytes += work.counts.read_bytes;
        total.different_bytes += work.counts.different_bytes;
        total.zero_bytes += work.counts.zero_bytes;
        total.stored_bytes += work.counts.stored_bytes;
        if (options.done) options.done(part.units.size() * unit_bytes);
        return {};
    };
    auto make_work = [&] { return PartWork(writer, reader, units_a_part, options.refer_to); };
    TRY(go_over_parts(walk, options.threads, options.stop, make_work, hand_over));
    return total;
}

Result<BlockRuns> blocks_to_compare(const VolumeWriter& writer, const Source& source) {
    const uint64_t block_bytes = writer.volume()->block_bytes();
    BlockRuns runs;
    TRY(visit_extents(source, 0, source.size_bytes(), [&](const Extent& extent) {
        if (!extent.zero) {
            uint64_t first = extent.offset / block_bytes, end = divide_up(extent.offset + extent.length, block_bytes);
            runs.add(first, end - first);
        }
        return true;
    }));
    auto cursor = TRY(writer.volume()->index().cursor());
    uint64_t block = 0;
    for (;;) {
        auto found = TRY(cursor->next(block, ~uint64_t{0}, writer.pending()));
        if (!found) break;
        if (found->entry.codec != BlockCodec::zeros) runs.add(found->block, 1);
        block = found->block + 1;
    }
    BlockRuns pending = TRY(writer.pending_runs());
    for (const BlockRun& run : pending.runs()) runs.add(run.first, run.count);
    runs.normalise();
    return runs;
}

}  // namespace hyper
