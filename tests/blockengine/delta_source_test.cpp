// SPDX-License-Identifier: Apache-2.0
#include "blockengine/delta_source.h"

#include "blockengine/base/bytes.h"
#include "tests/support/support.h"
#include "tests/support/two_states.h"

namespace hyper {
namespace {

using test::two_states;

TEST(DeltaSource, applied_to_the_state_before_gives_the_state_after) {
    for (uint64_t block : {4 * KiB, 64 * KiB, MiB}) {
        test::TwoStates states = two_states(40 * 256 * KiB + 1000, block, block);
        auto delta = states.delta();
        auto bytes = test::read_all(*delta), applied = states.before->bytes();
        ASSERT_TRUE(visit_extents(*delta, 0, delta->size_bytes(), [&](const Extent& extent) {
            if (!extent.zero)
                std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(extent.offset), extent.length,
                            applied.begin() + static_cast<ptrdiff_t>(extent.offset));
            return true;
        }));
        EXPECT_TRUE(applied == states.after->bytes()) << block;
    }
}

TEST(DeltaSource, has_data_in_whole_units_where_the_disk_changed_and_a_hole_of_no_layer_elsewhere) {
    auto disk = test::pattern(3 * MiB + 5, {{0, MiB}});
    auto delta = DeltaSource::make(disk, {{64 * KiB, 64 * KiB}, {768 * KiB - 1, 2}, {2 * MiB, 4 * KiB}, {3 * MiB + 4, 1}});
    EXPECT_EQ(test::layers(*delta),
              (std::vector<std::pair<uint64_t, uint32_t>>{
                  {256 * KiB, 1}, {256 * KiB, 0}, {512 * KiB, 1}, {MiB, 0}, {256 * KiB, 1}, {768 * KiB, 0}, {5, 1}}));
}

TEST(DeltaSource, has_data_where_the_disk_became_zeros) {
    auto delta = DeltaSource::make(test::pattern(MiB, {}), {{256 * KiB, 4 * KiB}});
    std::vector<Extent> extents;
    ASSERT_TRUE(visit_extents(*delta, 0, MiB, [&](const Extent& extent) {
        extents.push_back(extent);
        return true;
    }));
    ASSERT_EQ(extents.size(), 3u);
    EXPECT_FALSE(extents[1].zero);
    EXPECT_EQ(extents[1].offset, 256 * KiB);
    EXPECT_EQ(extents[1].length, 256 * KiB);
}

TEST(DeltaSource, reads_the_same_in_any_way) {
    test::expect_consistent_reads(*two_states(3 * MiB + 12345, 4 * KiB, 7).delta(), 7);
}

TEST(DeltaSource, of_nothing_is_one_hole) {
    auto delta = DeltaSource::make(test::pattern(MiB, {{0, MiB}}), {});
    EXPECT_EQ(test::layers(*delta), (std::vector<std::pair<uint64_t, uint32_t>>{{MiB, 0}}));
}

TEST(DeltaSource, goes_on_where_a_full_list_of_pieces_ended) {
    std::vector<ChangedRun> changed;
    for (uint64_t at = 0; at < GiB; at += 512 * KiB) changed.push_back({at, 4 * KiB});
    auto delta = DeltaSource::make(test::pattern(GiB, {{0, GiB}}), changed);
    PieceList pieces;
    uint64_t offset = 0, data = 0, lists = 0;
    for (; offset < GiB; offset += pieces.length(), ++lists) {
        pieces.clear();
        ASSERT_TRUE(delta->map(offset, GiB - offset, pieces));
        ASSERT_GT(pieces.length(), 0u);
        for (const Piece& piece : pieces.pieces()) data += piece.depth == 1 ? piece.length : 0;
    }
    EXPECT_EQ(offset, GiB);
    EXPECT_EQ(data, GiB / 2);
    EXPECT_GT(lists, 1u);
}

}  // namespace
}  // namespace hyper
