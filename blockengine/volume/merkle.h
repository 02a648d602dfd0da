// SPDX-License-Identifier: Apache-2.0
// The root hash of a disk, and the Merkle tree that it is made of: README.md, "Root".
//
// A perfect tree of zero leaves is a constant, so that holes cost nothing: neither here nor where a
// tree is stored.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "blockengine/base/bytes.h"
#include "blockengine/base/sha256.h"

namespace hyper {

inline constexpr uint64_t leaf_bytes = 64 * KiB;
// Of the tree over the largest size that 64 bits can hold.
inline constexpr unsigned tree_height_max = 48;

// At most leaf_bytes; what is missing is zeros, as it is past the disk's end.
Sha256 leaf_hash(std::span<const std::byte> bytes);
Sha256 node_hash(const Sha256& left, const Sha256& right);
// The perfect tree over 2^height zero leaves; height 0 is one leaf. At most 63.
const Sha256& zero_tree(unsigned height);

// Of the tree over a disk. One leaf, height 0, is the least, so an empty disk has one.
unsigned tree_height(uint64_t size_bytes);
// `tree` is the hash of the tree of tree_height(size_bytes).
Sha256 root_hash(uint64_t size_bytes, const Sha256& tree);

// Makes a tree out of its leaves in rising order; leaves that are left out are zeros. Memory is a
// hash for each level; a gap, however long, takes as many steps as the tree is high. Bound to one
// thread.
class MerkleStream {
  public:
    // `height` is at most tree_height_max.
    explicit MerkleStream(unsigned height) : height_(height) {}

    // `leaf` is above all before it and below 2^height.
    void add(uint64_t leaf, const Sha256& hash);
    // The hash of the tree. Nothing may be added after that.
    Sha256 finish();

  private:
    void skip_to(uint64_t leaf);
    void push(unsigned height, Sha256 hash);

    const unsigned height_;
    uint64_t next_ = 0;  // the first leaf that is not in nodes_
    // Where bit h of next_ is set, nodes_[h] is the perfect tree of height h whose last leaf is
    // before those of the set bits below.
    std::array<Sha256, tree_height_max + 1> nodes_{};
};

// How a tree is stored: in pages of 64 children, six levels of the tree. Children of a page of
// level 0 are leaves, those of a page of level L are pages of level L - 1, which are perfect trees
// of height 6 L.
inline constexpr unsigned page_height = 6;
inline constexpr unsigned page_children = 1 << page_height;

// The tree over the first 2^height children (height at most page_height) of a page of the level (at
// most 8). `hashes` holds all children; those whose bit in `present` is not set are zeros, and
// their hashes are not looked at. Where none is present it is zero_tree(page_height * level +
// height), which need not be stored.
Sha256 page_hash(unsigned level, uint64_t present, std::span<const Sha256, page_children> hashes,
                 unsigned height = page_height);

}  // namespace hyper
