// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/merkle.h"

#include <random>

#include "blockengine/base/hex.h"
#include "tests/support/support.h"

namespace hyper {
namespace {

Sha256 random_hash(std::mt19937_64& random) {
    Sha256 hash;
    for (std::byte& byte : hash) byte = static_cast<std::byte>(random());
    return hash;
}

// The tree over all leaves, by the book.
Sha256 plain_tree(std::vector<Sha256> nodes) {
    while (nodes.size() > 1) {
        for (size_t i = 0; i < nodes.size() / 2; ++i)
            nodes[i] = node_hash(nodes[2 * i], nodes[2 * i + 1]);
        nodes.resize(nodes.size() / 2);
    }
    return nodes[0];
}

struct Leaf {
    uint64_t number;
    char filled_with;
};
std::string root_of(uint64_t size_bytes, std::vector<Leaf> leaves) {
    MerkleStream stream(tree_height(size_bytes));
    for (const Leaf& leaf : leaves) {
        uint64_t length = std::min(leaf_bytes, size_bytes - leaf.number * leaf_bytes);
        stream.add(leaf.number, leaf_hash(bytes_of_text(std::string(length, leaf.filled_with))));
    }
    return hex(root_hash(size_bytes, stream.finish()));
}

// What another program says, which was written in Python from the README's words.
TEST(Merkle, gives_the_roots_that_another_program_gives) {
    EXPECT_EQ(root_of(0, {}), "3adf20c4a4ab177dc39099e27f2844a1fe0af02da7a0b7f6179cbc6effc7e8f1");
    EXPECT_EQ(root_of(512, {{0, 'x'}}),
              "b75f397a6926b6394ab8b90f0384f1e697a5f6f7876c4e9e3a3c578a7f9e8c8b");
    EXPECT_EQ(root_of(65536, {{0, 'x'}}),
              "7725c94f97d699b62e91d6582ea5ef13ec56b42c64f2ed6525657fc485d425b4");
    EXPECT_EQ(root_of(65536 + 512, {{0, 'x'}, {1, 'x'}}),
              "9b9ef0a847bdf07e5de977e183921c4a0142480faabd960dab27af1aa3703b29");
    EXPECT_EQ(root_of(3 * 65536, {{0, 'x'}, {2, 'y'}}),
              "d93fbf8d984f32864c963c840aa952db0e522b2b82b7f861f74a76367fac2657");
    EXPECT_EQ(root_of(64 * TiB, {}),
              "3e9ddff52834fc31b56146f0a6ecd7cfc07d9c0fa38df1633c32a052691f6736");
    EXPECT_EQ(root_of(64 * TiB, {{1, 'x'}, {(1 << 30) - 1, 'y'}}),
              "4abf99c4a7d248361b89c2694992a24d44d6298bf1d2244a0d1bee9dbdd114b7");
}

TEST(Merkle, a_tree_is_as_high_as_its_leaves_need) {
    EXPECT_EQ(tree_height(0), 0u);
    EXPECT_EQ(tree_height(1), 0u);
    EXPECT_EQ(tree_height(leaf_bytes), 0u);
    EXPECT_EQ(tree_height(leaf_bytes + 1), 1u);
    EXPECT_EQ(tree_height(2 * leaf_bytes), 1u);
    EXPECT_EQ(tree_height(2 * leaf_bytes + 1), 2u);
    EXPECT_EQ(tree_height(64 * TiB), 30u);
    EXPECT_EQ(tree_height(64 * TiB + 1), 31u);
    EXPECT_EQ(tree_height(UINT64_MAX), tree_height_max);
}

TEST(Merkle, a_leaf_is_extended_by_zeros) {
    std::vector<std::byte> bytes(leaf_bytes);
    EXPECT_EQ(leaf_hash(bytes), zero_tree(0));
    EXPECT_EQ(leaf_hash({}), zero_tree(0));
    bytes[511] = std::byte{1};
    EXPECT_EQ(leaf_hash(std::span(bytes).first(512)), leaf_hash(bytes));
    EXPECT_NE(leaf_hash(bytes), zero_tree(0));
}

TEST(Merkle, a_size_is_part_of_the_root) {
    EXPECT_NE(root_of(512, {}), root_of(1024, {}));
}

TEST(MerkleStream, agrees_with_the_tree_over_all_leaves) {
    std::mt19937_64 random(1);
    for (unsigned height = 0; height <= 10; ++height)
        for (int round = 0; round < 20; ++round) {
            std::vector<Sha256> leaves(size_t{1} << height, zero_tree(0));
            MerkleStream stream(height);
            // From none to all of the leaves.
            for (uint64_t leaf = 0; leaf < leaves.size(); ++leaf)
                if (random() % 19 < static_cast<uint64_t>(round)) {
                    leaves[leaf] = random_hash(random);
                    stream.add(leaf, leaves[leaf]);
                }
            ASSERT_EQ(stream.finish(), plain_tree(leaves))
                << "height " << height << ", round " << round;
        }
}

TEST(MerkleStream, takes_zero_leaves_that_are_given_as_any_other) {
    MerkleStream given(4), left_out(4);
    for (uint64_t leaf = 0; leaf < 16; ++leaf) given.add(leaf, zero_tree(0));
    EXPECT_EQ(given.finish(), left_out.finish());
}

TEST(MerkleStream, one_leaf_of_the_highest_tree_takes_a_step_a_level) {
    for (uint64_t leaf :
         {uint64_t{0}, uint64_t{12345678901}, (uint64_t{1} << tree_height_max) - 1}) {
        MerkleStream stream(tree_height_max);
        Sha256 hash = leaf_hash(bytes_of_text("x"));
        stream.add(leaf, hash);
        for (unsigned height = 0; height < tree_height_max; ++height)
            hash = leaf >> height & 1 ? node_hash(zero_tree(height), hash)
                                      : node_hash(hash, zero_tree(height));
        EXPECT_EQ(stream.finish(), hash) << leaf;
    }
}

class MerklePage : public testing::Test {
  protected:
    // Children that are not present hold rubbish.
    void draw(uint64_t present_mask) {
        present = present_mask;
        for (Sha256& hash : hashes) hash = random_hash(random);
    }
    std::vector<Sha256> first(unsigned level, unsigned height) const {
        std::vector<Sha256> children(size_t{1} << height, zero_tree(page_height * level));
        for (size_t i = 0; i < children.size(); ++i)
            if (present >> i & 1) children[i] = hashes[i];
        return children;
    }

    std::mt19937_64 random{1};
    uint64_t present = 0;
    std::array<Sha256, page_children> hashes;
};

TEST_F(MerklePage, agrees_with_the_tree_over_its_children) {
    for (uint64_t mask :
         {uint64_t{0}, uint64_t{1}, uint64_t{1} << 63, uint64_t{1} << 32, UINT64_MAX, random(),
          random() & random() & random(), uint64_t{0xffffffff00000000}}) {
        draw(mask);
        for (unsigned level = 0; level <= 8; ++level)
            for (unsigned height = 0; height <= page_height; ++height)
                ASSERT_EQ(page_hash(level, present, hashes, height),
                          plain_tree(first(level, height)))
                    << "mask " << mask << ", level " << level << ", height " << height;
    }
}

TEST_F(MerklePage, pages_of_pages_give_the_tree_of_the_stream) {
    constexpr unsigned height = 14;  // two levels of pages, and four pages at the top
    std::map<uint64_t, Sha256> pages;
    MerkleStream stream(height);
    for (uint64_t page = 0; page < (1 << height) / page_children; ++page) {
        draw(page % 5 == 0 ? random() & random() : 0);
        for (uint64_t i = 0; i < page_children; ++i)
            if (present >> i & 1) stream.add(page * page_children + i, hashes[i]);
        if (present != 0) pages[page] = page_hash(0, present, hashes);
    }
    std::array<Sha256, page_children> top;
    uint64_t top_present = 0;
    for (uint64_t middle = 0; middle < 4; ++middle) {
        draw(0);
        for (uint64_t i = 0; i < page_children; ++i)
            if (auto page = pages.find(middle * page_children + i); page != pages.end()) {
                hashes[i] = page->second;
                present |= uint64_t{1} << i;
            }
        top[middle] = page_hash(1, present, hashes);
        top_present |= uint64_t{1} << middle;
    }
    EXPECT_EQ(page_hash(2, top_present, top, height - 2 * page_height), stream.finish());
}

}  // namespace
}  // namespace hyper
