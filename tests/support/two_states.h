// SPDX-License-Identifier: Apache-2.0
// A small disk in memory in two states, with what changed between them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "blockengine/change_map.h"
#include "blockengine/delta_source.h"

namespace hyper::test {

// A disk in memory. Of its pieces of 4 KiB those that are zero are holes.
class ArraySource : public Source, public Producer, public std::enable_shared_from_this<ArraySource> {
  public:
    explicit ArraySource(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}
    const std::vector<std::byte>& bytes() const { return bytes_; }
    uint64_t size_bytes() const override { return bytes_.size(); }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override;
    Result<void> produce(uint64_t offset, std::span<std::byte> out) const override;

  private:
    std::vector<std::byte> bytes_;
};

struct TwoStates {
    std::shared_ptr<const ArraySource> before, after;
    std::vector<ChangedRun> changed;

    std::shared_ptr<const DeltaSource> delta() const { return DeltaSource::make(after, changed); }
};

// A third of the disk in each state is zeros; blocks became data, became zeros, or are said to have changed and did not.
TwoStates two_states(uint64_t size_bytes, uint64_t block_bytes, uint64_t seed);

}  // namespace hyper::test
