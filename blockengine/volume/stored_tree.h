// SPDX-License-Identifier: Apache-2.0
// The Merkle tree of the newest generation, as pages of 64 hashes in the index, and what the pending one changes in it.
//
// Pages of level 0 hold leaves, those of level n pages of level n - 1; a page covers six levels of the binary tree. Of each page the
// newest committed state is kept, and the pending one: older ones go when the page is next written.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "blockengine/base/sha256.h"
#include "blockengine/volume/index.h"
#include "blockengine/volume/merkle.h"

namespace hyper {

// Bound to one thread.
class StoredTree {
  public:
    // `index` must outlive it.
    StoredTree(const Index& index, uint32_t pending) : index_(index), pending_(pending) {}

    // Quick when leaves rise.
    Result<void> set_leaf(uint64_t leaf, const Sha256& hash);
    // Adds what changed since the last time; with what else is in the batch, the pages are then whole.
    Result<void> save(IndexBatch& batch);
    // The root of a disk of this size.
    Result<Sha256> root(uint64_t size_bytes);

  private:
    static constexpr unsigned levels = 5;  // 2^30 leaves: 64 TiB

    struct Page {
        uint64_t number = 0;
        bool open = false, changed = false;
        uint64_t present = 0;  // which children are not of zeros
        std::array<Sha256, page_children> hashes{};
        std::vector<uint32_t> outdated;  // generations of which the page is not needed any more
    };
    // A page that was left since the last save, as it is to be stored.
    struct Closed {
        unsigned level;
        uint64_t number;
        std::vector<std::byte> bytes;
        std::vector<uint32_t> outdated;
    };

    Result<void> open(unsigned level, uint64_t number);
    Result<void> set_child(unsigned level, uint64_t child, const Sha256& hash);
    Result<void> hand_up(unsigned level);
    void close(unsigned level);

    const Index& index_;
    const uint32_t pending_;
    std::array<Page, levels> pages_;
    std::vector<Closed> closed_;
};

}  // namespace hyper
