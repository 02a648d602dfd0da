// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/merkle.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace hyper {

namespace {

// What is hashed begins with a byte that says what it is, so that no leaf can be taken for a node.
constexpr std::byte leaf_mark{0}, node_mark{1}, root_mark{2};

constexpr std::array<std::byte, leaf_bytes> zeros{};
constexpr unsigned zero_heights = 64;

Sha256 page_subtree(unsigned level, uint64_t present, const Sha256* hashes, unsigned height) {
    if (present == 0) return zero_tree(page_height * level + height);
    if (height == 0) return *hashes;
    unsigned half = 1u << (height - 1);
    return node_hash(page_subtree(level, present & ((uint64_t{1} << half) - 1), hashes, height - 1),
                     page_subtree(level, present >> half, hashes + half, height - 1));
}

}  // namespace

Sha256 leaf_hash(std::span<const std::byte> bytes) {
    assert(bytes.size() <= leaf_bytes);
    return sha256({bytes_of(leaf_mark), bytes, std::span(zeros).first(leaf_bytes - bytes.size())});
}

Sha256 node_hash(const Sha256& left, const Sha256& right) {
    return sha256({bytes_of(node_mark), left, right});
}

const Sha256& zero_tree(unsigned height) {
    static const std::array<Sha256, zero_heights> trees = [] {
        std::array<Sha256, zero_heights> made;
        made[0] = leaf_hash({});
        for (unsigned h = 1; h < zero_heights; ++h) made[h] = node_hash(made[h - 1], made[h - 1]);
        return made;
    }();
    assert(height < zero_heights);
    return trees[height];
}

unsigned tree_height(uint64_t size_bytes) {
    uint64_t leaves = divide_up(size_bytes, leaf_bytes);
    return leaves <= 1 ? 0 : static_cast<unsigned>(std::bit_width(leaves - 1));
}

Sha256 root_hash(uint64_t size_bytes, const Sha256& tree) {
    be64 size = size_bytes;
    return sha256({bytes_of(root_mark), bytes_of(size), tree});
}

void MerkleStream::push(unsigned height, Sha256 hash) {
    next_ += uint64_t{1} << height;
    // A tree whose left neighbour of the same height is there already is its right half.
    for (uint64_t filled = (next_ >> height) - 1; filled & 1; filled >>= 1, ++height)
        hash = node_hash(nodes_[height], hash);
    nodes_[height] = hash;
}

void MerkleStream::skip_to(uint64_t leaf) {
    while (next_ < leaf) {
        // The largest perfect tree that begins here and ends before the leaf.
        auto fits = static_cast<unsigned>(std::bit_width(leaf - next_)) - 1;
        auto begins = static_cast<unsigned>(std::countr_zero(next_));
        unsigned height = std::min(fits, begins);
        push(height, zero_tree(height));
    }
}

void MerkleStream::add(uint64_t leaf, const Sha256& hash) {
    assert(leaf >= next_ && leaf < uint64_t{1} << height_);
    skip_to(leaf);
    push(0, hash);
}

Sha256 MerkleStream::finish() {
    skip_to(uint64_t{1} << height_);
    return nodes_[height_];
}

Sha256 page_hash(unsigned level, uint64_t present, std::span<const Sha256, page_children> hashes,
                 unsigned height) {
    assert(level <= 8 && height <= page_height);
    if (height < page_height) present &= (uint64_t{1} << (1u << height)) - 1;
    return page_subtree(level, present, hashes.data(), height);
}

}  // namespace hyper
