// SPDX-License-Identifier: Apache-2.0
#include "blockengine/block_cache.h"

#include "tests/support/support.h"

namespace hyper {
namespace {

TEST(BlockCache, keeps_what_was_put_and_forgets_the_oldest_first) {
    BlockCache cache(8 * 4 * 4096);  // about four blocks in each of eight shards
    auto block = std::make_shared<Bytes>(4096);
    for (uint64_t offset = 0; offset < 1000 * 4096; offset += 4096) cache.put(1, offset, block);
    size_t kept = 0;
    for (uint64_t offset = 0; offset < 1000 * 4096; offset += 4096) kept += cache.get(1, offset) != nullptr;
    EXPECT_LE(kept, 32u);
    EXPECT_GE(kept, 16u);
    EXPECT_NE(cache.get(1, 999 * 4096), nullptr);
    EXPECT_EQ(cache.get(1, 0), nullptr);
    EXPECT_EQ(cache.get(2, 999 * 4096), nullptr) << "another file's block";
}

TEST(BlockCache, does_not_keep_a_block_larger_than_its_share) {
    BlockCache cache(8 * 4096);
    cache.put(1, 0, std::make_shared<Bytes>(8192));
    EXPECT_EQ(cache.get(1, 0), nullptr);
}

TEST(BlockCache, tells_a_table_from_an_unpacked_unit_at_the_same_offset) {
    BlockCache cache(1 << 20);
    cache.put(1, unpacked_key(4096), std::make_shared<Bytes>(4096, std::byte{1}));
    EXPECT_EQ(cache.get(1, 4096), nullptr);
}

}  // namespace
}  // namespace hyper
