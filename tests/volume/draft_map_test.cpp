// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/draft_map.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <random>

#include "tests/support/support.h"

namespace hyper {
namespace {

constexpr uint64_t chunk = MiB / draft_sector_bytes, group = 128 * chunk, region = 128 * group;

std::vector<SectorRun> changed(const DraftMap& map) {
    std::vector<SectorRun> runs;
    map.visit_changed([&](const SectorRun& run) {
        runs.push_back(run);
        return true;
    });
    return runs;
}

TEST(DraftMapTest, all_is_absent_at_first) {
    DraftMap map(64 * TiB / draft_sector_bytes);
    EXPECT_TRUE(changed(map).empty());
    EXPECT_TRUE(map.take_changes().empty());
    EXPECT_EQ(map.at(map.sectors() - 1), SectorState::absent);
}

TEST(DraftMapTest, knows_what_was_marked_across_chunks_groups_and_regions) {
    DraftMap map(64 * TiB / draft_sector_bytes);
    map.mark(region - 3, 7, SectorState::data);
    map.mark(group - 1, 2 * chunk, SectorState::zero);
    map.mark(map.sectors() - 1, 1, SectorState::data);
    std::vector<SectorRun> expected{{group - 1, 2 * chunk, SectorState::zero},
                                    {region - 3, 7, SectorState::data},
                                    {map.sectors() - 1, 1, SectorState::data}};
    EXPECT_EQ(changed(map), expected);
}

TEST(DraftMapTest, is_one_run_once_it_is_full_whatever_the_order) {
    DraftMap map(2 * region);
    std::vector<uint64_t> chunks(2 * region / chunk);
    std::iota(chunks.begin(), chunks.end(), 0);
    std::shuffle(chunks.begin(), chunks.end(), std::mt19937_64(1));
    for (uint64_t number : chunks) map.mark(number * chunk, chunk, SectorState::data);
    EXPECT_EQ(changed(map), (std::vector<SectorRun>{{0, 2 * region, SectorState::data}}));
}

TEST(DraftMapTest, runs_go_on_where_the_list_was_full) {
    DraftMap map(4 * chunk);
    for (uint64_t sector = 0; sector < map.sectors(); sector += 2) map.mark(sector, 1, SectorState::data);
    EXPECT_EQ(changed(map).size(), map.sectors() / 2);
    std::array<SectorRun, 3> some;
    ASSERT_EQ(map.runs(5, 100, some), 3u);
    EXPECT_EQ(some[0], (SectorRun{5, 1, SectorState::absent}));
    EXPECT_EQ(some[2], (SectorRun{7, 1, SectorState::absent}));
}

TEST(DraftMapTest, a_run_longer_than_a_visit_is_told_once) {
    DraftMap map(4096 * chunk);
    for (uint64_t sector = 0; sector < 1023; sector += 2) map.mark(sector, 1, SectorState::zero);
    map.mark(1023, 3000 * chunk, SectorState::data);
    auto runs = changed(map);
    ASSERT_EQ(runs.size(), 513u);
    EXPECT_EQ(runs.back(), (SectorRun{1023, 3000 * chunk, SectorState::data}));
}

TEST(DraftMapTest, changes_are_told_once_as_they_are_now) {
    DraftMap map(region);
    map.mark(10, 10, SectorState::data);
    map.mark(15, 10, SectorState::zero);
    map.mark(5, 5, SectorState::data);
    std::vector<SectorRun> expected{{5, 10, SectorState::data}, {15, 10, SectorState::zero}};
    auto changes = map.take_changes();
    EXPECT_EQ(changes.runs, expected);
    EXPECT_TRUE(map.take_changes().empty());
    map.put_back(changes);
    EXPECT_EQ(map.take_changes().runs, expected);
}

TEST(DraftMapTest, what_is_marked_again_is_no_change) {
    DraftMap map(region);
    map.mark(0, 100, SectorState::data);
    map.take_changes();
    map.mark(7, 20, SectorState::data);
    EXPECT_TRUE(map.take_changes().empty());
    map.mark(7, 20, SectorState::zero);
    EXPECT_EQ(map.take_changes().runs.size(), 1u);
}

TEST(DraftMapTest, more_changes_than_can_be_listed_mean_that_all_may_have_changed) {
    DraftMap map(region);
    for (uint64_t sector = 0; sector < 2 * DraftMap::changes_max; sector += 2)
        map.mark(sector, 1, SectorState::data);
    auto changes = map.take_changes();
    EXPECT_TRUE(changes.all);
    EXPECT_TRUE(map.take_changes().empty());
    map.put_back(changes);
    EXPECT_TRUE(map.take_changes().all);
}

TEST(DraftMapTest, is_what_an_array_would_be) {
    uint64_t seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    constexpr uint64_t sectors = 3 * group + 77;
    DraftMap map(sectors);
    std::vector<SectorState> model(sectors, SectorState::absent), logged = model;
    for (int step = 0; step < 5000; ++step) {
        uint64_t most = std::array<uint64_t, 4>{3, 70, 2 * chunk, 2 * group}[random() % 4];
        uint64_t first = random() % sectors, count = std::min(sectors - first, random() % most + 1);
        if (random() % 4 == 0) {
            first = round_down(first, chunk);
            count = std::min(sectors - first, round_up(count, chunk));
        }
        auto state = random() % 2 == 0 ? SectorState::data : SectorState::zero;
        map.mark(first, count, state);
        std::fill_n(model.begin() + static_cast<ptrdiff_t>(first), count, state);
        if (random() % 50 != 0) continue;
        for (const SectorRun& run : map.take_changes().runs)
            std::fill_n(logged.begin() + static_cast<ptrdiff_t>(run.first), run.count, run.state);
        ASSERT_EQ(logged, model);
        std::vector<SectorState> seen(sectors, SectorState::absent);
        for (const SectorRun& run : changed(map))
            std::fill_n(seen.begin() + static_cast<ptrdiff_t>(run.first), run.count, run.state);
        ASSERT_EQ(seen, model);
    }
}

}  // namespace
}  // namespace hyper
