// SPDX-License-Identifier: Apache-2.0
// Sets of blocks as sorted runs: what changed in a generation, what a sync has to read.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "blockengine/base/result.h"

namespace hyper {

struct BlockRun {
    uint64_t first, count;
    bool operator==(const BlockRun&) const = default;
};

// Blocks are numbered below 2^63. Bound to one thread while it is changed.
//
// However scattered the blocks are, a set takes 64 MiB at most: where there are more runs than runs_max, those that lie nearest to each
// other become one, with the blocks between them. So it may have more blocks than were added, never less, and none before the first or
// behind the last.
class BlockRuns {
  public:
    static constexpr size_t runs_max = 2 << 20;

    // Cheap where it comes after or continues the last run; else the runs have to be normalised. A
    // count of 0 is ignored.
    void add(uint64_t first, uint64_t count);
    // Sorts the runs and joins those that overlap or touch. Costs nothing where they are normal.
    void normalise();
    // All of the lists, which are normal, as one. The result is normal.
    static BlockRuns union_of(std::span<const BlockRuns* const> lists);

    bool normal() const { return normal_; }
    // Ascending, and neither overlapping nor touching, where normal().
    std::span<const BlockRun> runs() const { return runs_; }

    // For normal runs only.
    bool contains(uint64_t block) const;
    uint64_t block_count() const;

    // The runs, which are normal, as varints (LEB128) in rising order: the distance from the end of
    // the run before, less one after the first run since runs do not touch; then the count less
    // one.
    std::vector<std::byte> encode() const;
    // Errors: EINVAL for anything that encode() does not give. Takes 8 times the memory of `bytes`,
    // at most.
    static Result<BlockRuns> decode(std::span<const std::byte> bytes);

    bool operator==(const BlockRuns& other) const { return runs_ == other.runs_; }

  private:
    void coarsen();

    std::vector<BlockRun> runs_;
    bool normal_ = true;
};

}  // namespace hyper
