// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/verify.h"

#include <algorithm>
#include <cerrno>
#include <random>

#include "blockengine/base/bytes.h"
#include "blockengine/volume/companions.h"
#include "blockengine/volume/parts.h"

namespace hyper {

namespace {

constexpr uint64_t part_bytes = 1 << 20;

// One thread's work.
class PartCheck {
  public:
    PartCheck(const Volume& volume, const Generation& generation, const Source& source, bool leaves_wanted, size_t units_a_part)
        : volume_(volume),
          generation_(generation),
          source_(source),
          unit_bytes_(unit_bytes_of(volume.block_bytes())),
          leaves_wanted_(leaves_wanted),
          bytes_(unit_bytes_ * units_a_part) {}

    Result<void> look(const Part& part) {
        bad.clear();
        leaves.clear();
        read_bytes = 0;
        for (size_t i = 0; i < part.units.size();) {
            size_t count = 1;
            while (i + count < part.units.size() && part.units[i + count] == part.units[i] + count) ++count;
            TRY(look_at_run(part.units[i], count));
            i += count;
        }
        return {};
    }

    std::vector<BadRange> bad;
    std::vector<std::pair<uint64_t, Sha256>> leaves;
    uint64_t read_bytes = 0;

  private:
    Result<void> look_at_run(uint64_t unit, size_t count) {
        uint64_t offset = unit * unit_bytes_, length = std::min<uint64_t>(count * unit_bytes_, generation_.size_bytes - offset);
        auto target = std::span(bytes_).first(length);
        read_bytes += length;
        auto read = volume_.engine().read(source_, offset, target);
        if (!read) {
            if (read.error().code == ESTALE) return read;
            return look_at_blocks(offset, length);
        }
        if (!leaves_wanted_) return {};
        for (uint64_t at = 0; at < length; at += leaf_bytes)
            leaves.emplace_back((offset + at) / leaf_bytes, leaf_hash(target.subspan(at, std::min(leaf_bytes, length - at))));
        return {};
    }

    // Something of it is bad: which blocks are?
    Result<void> look_at_blocks(uint64_t offset, uint64_t length) {
        auto cursor = TRY(volume_.index().cursor());
        uint64_t block_bytes = volume_.block_bytes(), end = divide_up(offset + length, block_bytes), block = offset / block_bytes;
        while (auto found = TRY(cursor->next(block, end, generation_.number))) {
            auto judged = judge(volume_, found->entry);
            uint64_t start = found->block * block_bytes;
            if (judged.verdict != Verdict::good)
                bad.push_back({start, std::min(block_bytes, generation_.size_bytes - start), judged.verdict, std::move(judged.why)});
            block = found->block + 1;
        }
        return {};
    }

    const Volume& volume_;
    const Generation& generation_;
    const Source& source_;
    const uint64_t unit_bytes_;
    const bool leaves_wanted_;
    std::vector<std::byte> bytes_;
};

void add_bad(VerifyReport& report, BadRange range) {
    ++report.bad_blocks;
    if (!report.bad.empty()) {
        BadRange& last = report.bad.back();
        if (last.offset + last.length == range.offset && last.verdict == range.verdict) {
            last.length += range.length;
            return;
        }
    }
    if (report.bad.size() < VerifyReport::bad_max) report.bad.push_back(std::move(range));
}

BlockRuns draw(const BlockRuns& runs, const VerifyOptions& options) {
    std::mt19937_64 random(options.seed != 0 ? options.seed : std::random_device{}());
    std::bernoulli_distribution drawn(std::clamp(options.fraction, 0.0, 1.0));
    BlockRuns some;
    for (const BlockRun& run : runs.runs())
        for (uint64_t block = run.first; block < run.first + run.count; ++block)
            if (drawn(random)) some.add(block, 1);
    some.normalise();
    return some;
}

}  // namespace

Verdict VerifyReport::verdict() const {
    bool root_differs = root && *root != generation.root;
    if (root_differs || !bad_companions.empty() || std::ranges::any_of(bad, [](const BadRange& range) { return range.verdict == Verdict::corrupt; }))
        return Verdict::corrupt;
    return bad.empty() ? Verdict::good : Verdict::could_not_tell;
}

Result<BlockRuns> stored_runs(const Volume& volume, uint32_t generation) {
    BlockRuns runs;
    auto cursor = TRY(volume.index().cursor());
    uint64_t block = 0;
    while (auto found = TRY(cursor->next(block, ~uint64_t{0}, generation))) {
        if (found->entry.codec != BlockCodec::zeros) runs.add(found->block, 1);
        block = found->block + 1;
    }
    runs.normalise();
    return runs;
}

Result<VerifyReport> verify_generation(const Volume& volume, const Generation& generation, const VerifyOptions& options) {
    VerifyReport report;
    report.generation = generation;
    const uint64_t block_bytes = volume.block_bytes(), unit_bytes = unit_bytes_of(volume.block_bytes());
    const size_t units_a_part = static_cast<size_t>(std::max<uint64_t>(part_bytes / unit_bytes, 1));
    const bool all = options.fraction >= 1;
    auto source = TRY(volume.open_generation(generation));
    BlockRuns runs = TRY(stored_runs(volume, generation.number));
    if (!all) runs = draw(runs, options);
    report.blocks = runs.block_count();
    if (options.planned) options.planned(runs.block_count() * block_bytes);
    PartWalk walk(runs, unit_bytes / block_bytes, units_a_part, 0);
    MerkleStream tree(tree_height(generation.size_bytes));
    auto make_work = [&] { return PartCheck(volume, generation, *source, all, units_a_part); };
    auto hand_over = [&](PartCheck& check, const Part&) -> Result<void> {
        report.bytes += check.read_bytes;
        for (BadRange& range : check.bad) add_bad(report, std::move(range));
        for (const auto& [leaf, hash] : check.leaves) tree.add(leaf, hash);
        if (options.done) options.done(check.read_bytes);
        return {};
    };
    TRY(go_over_parts(walk, options.threads, options.stop, make_work, hand_over));
    if (all && report.bad_blocks == 0) report.root = root_hash(generation.size_bytes, tree.finish());
    for (const Companion& companion : generation.companions)
        if (auto read = read_companion(volume, generation, companion); !read) {
            if (read.error().code == ESTALE) return tl::unexpected(read.error());
            report.bad_companions.push_back({companion.name, read.error().message});
        }
    return report;
}

}  // namespace hyper
