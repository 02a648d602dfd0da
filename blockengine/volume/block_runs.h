// SPDX-License-Identifier: Apache-2.0
// Sets of blocks, as runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "blockengine/base/result.h"

namespace hyper {

struct BlockRun {
    uint64_t first, count;
    bool operator==(const BlockRun&) const = default;
};

// Bound to one thread while it changes.
class BlockRuns {
  public:
    // Runs may overlap and come in any order; those that rise and touch are merged at once. `count` 0 is nothing.
    void add(uint64_t first, uint64_t count);
    // Sorts and merges. What is below wants it done, since the last add() that did not rise.
    void normalise();

    // Ascending, apart from each other.
    std::span<const BlockRun> runs() const { return runs_; }
    bool contains(uint64_t block) const;
    // How many there are.
    uint64_t blocks() const;

    // As distances and counts, in LEB128 (https://en.wikipedia.org/wiki/LEB128).
    std::vector<std::byte> encode() const;
    // Errors: EINVAL for what encode() does not give. Memory is bounded by the length of `bytes`.
    static Result<BlockRuns> decode(std::span<const std::byte> bytes);

  private:
    std::vector<BlockRun> runs_;
    bool sorted_ = true;
};

}  // namespace hyper
