// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/block_runs.h"

#include <random>
#include <set>

#include "tests/support/support.h"

namespace hyper {
namespace {

using Runs = std::vector<BlockRun>;

Runs runs_of(const BlockRuns& runs) {
    return {runs.runs().begin(), runs.runs().end()};
}
BlockRuns made_of(const Runs& list) {
    BlockRuns runs;
    for (const BlockRun& run : list) runs.add(run.first, run.count);
    runs.normalise();
    return runs;
}
std::vector<std::byte> bytes(std::initializer_list<int> values) {
    std::vector<std::byte> out;
    for (int value : values) out.push_back(static_cast<std::byte>(value));
    return out;
}

TEST(BlockRuns, joins_what_overlaps_or_touches_while_it_is_added) {
    BlockRuns runs;
    runs.add(5, 3);
    runs.add(8, 2);
    runs.add(6, 1);
    runs.add(9, 4);
    runs.add(20, 0);
    runs.add(14, 1);
    EXPECT_TRUE(runs.normal());
    EXPECT_EQ(runs_of(runs), (Runs{{5, 8}, {14, 1}}));
}

TEST(BlockRuns, sorts_what_came_out_of_order) {
    BlockRuns runs;
    runs.add(14, 1);
    runs.add(5, 3);
    runs.add(7, 7);
    runs.add(0, 2);
    EXPECT_FALSE(runs.normal());
    runs.normalise();
    EXPECT_EQ(runs_of(runs), (Runs{{0, 2}, {5, 10}}));
}

TEST(BlockRuns, is_like_a_set) {
    for (uint64_t seed = 1; seed <= 200; ++seed) {
        SCOPED_TRACE(seed);
        std::mt19937_64 random(seed);
        std::set<uint64_t> model;
        std::vector<BlockRuns> lists(random() % 9);
        for (BlockRuns& list : lists) {
            std::set<uint64_t> own;
            for (uint64_t n = random() % 40; n > 0; --n) {
                uint64_t first = random() % 500,
                         count = random() % 2 ? random() % 20 : random() % 3;
                list.add(first, count);
                for (uint64_t i = 0; i < count; ++i) own.insert(first + i);
            }
            list.normalise();
            ASSERT_EQ(list.block_count(), own.size());
            for (uint64_t block = 0; block < 530; ++block)
                ASSERT_EQ(list.contains(block), own.contains(block)) << block;
            for (size_t i = 1; i < list.runs().size(); ++i)
                ASSERT_LT(list.runs()[i - 1].first + list.runs()[i - 1].count,
                          list.runs()[i].first);
            auto decoded = BlockRuns::decode(list.encode());
            ASSERT_TRUE(decoded) << decoded.error().message;
            ASSERT_EQ(runs_of(*decoded), runs_of(list));
            model.merge(own);
        }
        std::vector<const BlockRuns*> pointers;
        for (const BlockRuns& list : lists) pointers.push_back(&list);
        BlockRuns all = BlockRuns::union_of(pointers);
        Runs wanted;
        for (uint64_t block : model) {
            if (!wanted.empty() && wanted.back().first + wanted.back().count == block)
                ++wanted.back().count;
            else
                wanted.push_back({block, 1});
        }
        ASSERT_EQ(runs_of(all), wanted);
    }
}

TEST(BlockRuns, ascending_runs_take_few_bytes) {
    EXPECT_EQ(made_of({{0, 1}, {2, 128}, {200, 129}}).encode(), bytes({0, 0, 0, 127, 69, 0x80, 1}));
    EXPECT_TRUE(BlockRuns().encode().empty());
}

TEST(BlockRuns, holds_the_highest_blocks) {
    uint64_t top = uint64_t{1} << 63;
    for (const Runs& list :
         {Runs{{0, top}}, Runs{{top - 1, 1}}, Runs{{0, 1}, {top - 1, 1}}, Runs{{top - 3, 3}}}) {
        BlockRuns runs = made_of(list);
        auto decoded = BlockRuns::decode(runs.encode());
        ASSERT_TRUE(decoded) << decoded.error().message;
        EXPECT_EQ(runs_of(*decoded), list);
        EXPECT_TRUE(decoded->contains(top - 1));
    }
}

TEST(BlockRuns, refuses_what_encode_does_not_give) {
    auto ones = [](int count, int last) {
        std::vector<std::byte> out(static_cast<size_t>(count), std::byte{0xff});
        out.push_back(static_cast<std::byte>(last));
        return out;
    };
    auto add = [](std::vector<std::byte> a, std::initializer_list<int> more) {
        for (std::byte b : bytes(more)) a.push_back(b);
        return a;
    };
    EXPECT_TRUE(BlockRuns::decode(add(ones(8, 0x7f), {0})));  // block 2^63 - 1
    const std::vector<std::vector<std::byte>> wrong = {
        bytes({5}),            // no count
        bytes({5, 0x80}),      // ends within one
        bytes({0x80, 0, 0}),   // not the shortest form
        add(ones(9, 1), {0}),  // 64 bits
        bytes({0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2, 0}),  // 65 bits
        add(ones(8, 0x7f), {1}),        // goes beyond the last block by one
        add(ones(8, 0x7f), {0, 0, 0}),  // begins beyond it
        ones(1000, 0),                  // a number without end
    };
    for (size_t i = 0; i < wrong.size(); ++i) {
        auto decoded = BlockRuns::decode(wrong[i]);
        ASSERT_FALSE(decoded) << i;
        EXPECT_EQ(decoded.error().code, EINVAL) << i;
    }
}

TEST(BlockRuns, any_bytes_are_refused_or_come_back_as_they_were) {
    std::mt19937_64 random(1);
    size_t taken = 0;
    for (int round = 0; round < 20000; ++round) {
        std::vector<std::byte> in(random() % 24);
        for (std::byte& byte : in)
            byte = static_cast<std::byte>(random() % 5 == 0 ? random() | 0x80 : random() & 0x7f);
        auto decoded = BlockRuns::decode(in);
        if (!decoded) continue;
        ++taken;
        ASSERT_EQ(decoded->encode(), in);
        ASSERT_LE(decoded->runs().size() * 2, in.size());
    }
    EXPECT_GT(taken, 100u);
}

TEST(BlockRunsBound, joins_what_lies_nearest_when_there_are_too_many) {
    BlockRuns runs;
    // Groups of four with a gap of one block between them, far from each other: no two groups are to be joined.
    constexpr uint64_t groups = BlockRuns::runs_max / 4 + 1, stride = 1000;
    for (uint64_t i = 0; i < 4 * groups; ++i) runs.add(i / 4 * stride + i % 4 * 2, 1);
    runs.normalise();
    EXPECT_LE(runs.runs().size(), BlockRuns::runs_max);
    for (uint64_t i = 0; i < groups; i += 997) {
        for (uint64_t block : {0, 2, 4, 6}) EXPECT_TRUE(runs.contains(i * stride + block)) << i;
        EXPECT_FALSE(runs.contains(i * stride + 7)) << i;
    }
    EXPECT_LE(runs.block_count(), groups * 7);
}

TEST(BlockRunsBound, joins_no_more_than_it_must_when_all_lie_at_one_distance) {
    BlockRuns runs;
    constexpr uint64_t count = BlockRuns::runs_max + 1, stride = 100;
    for (uint64_t i = 0; i < count; ++i) runs.add(i * stride, 1);
    EXPECT_EQ(runs.runs().size(), BlockRuns::runs_max / 2);
    EXPECT_EQ(runs.block_count(), count + (count - BlockRuns::runs_max / 2) * (stride - 1));
}

TEST(BlockRunsBound, holds_for_what_is_added_in_any_order_and_for_unions) {
    BlockRuns rising, falling;
    constexpr uint64_t count = BlockRuns::runs_max + 5;
    for (uint64_t i = 0; i < count; ++i) {
        rising.add(i * 4, 1);
        falling.add((count - i) * 4 + 1, 1);
        ASSERT_LE(falling.runs().size(), BlockRuns::runs_max);
    }
    rising.normalise();
    falling.normalise();
    const BlockRuns* lists[] = {&rising, &falling};
    BlockRuns all = BlockRuns::union_of(lists);
    EXPECT_LE(all.runs().size(), BlockRuns::runs_max);
    for (uint64_t i = 0; i < count; i += 1009) EXPECT_TRUE(all.contains(i * 4) && all.contains((count - i) * 4 + 1)) << i;
}

}  // namespace
}  // namespace hyper
