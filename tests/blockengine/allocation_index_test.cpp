// SPDX-License-Identifier: Apache-2.0
#include "blockengine/allocation_index.h"

#include <random>

#include "tests/support/support.h"

namespace hyper {
namespace {

using test::pattern;

// The index against a plain array, for every unit and every place.
void expect_like_model(const Source& source, uint64_t unit_bytes, const std::vector<bool>& model) {
    auto built = AllocationIndex::build(source, unit_bytes);
    ASSERT_TRUE(built) << built.error().message;
    const AllocationIndex& index = **built;
    ASSERT_EQ(index.unit_count(), model.size());
    uint64_t rank = 0;
    for (uint64_t unit = 0; unit < model.size(); ++unit) {
        ASSERT_EQ(index.allocated(unit), model[unit]) << unit;
        ASSERT_EQ(index.rank(unit), rank) << unit;
        if (model[unit]) {
            ASSERT_EQ(index.select(rank), unit);
            ++rank;
        }
    }
    ASSERT_EQ(index.rank(model.size()), rank);
    ASSERT_EQ(index.allocated_count(), rank);
    for (uint64_t unit = 0; unit < model.size();) {
        uint64_t run = 1;
        while (unit + run < model.size() && model[unit + run] == model[unit]) ++run;
        ASSERT_EQ(index.run_length(unit, model.size()), run) << unit;
        ASSERT_EQ(index.run_length(unit, 1), 1u);
        unit += run;
    }
}

TEST(AllocationIndex, agrees_with_a_plain_array_over_several_chunks) {
    constexpr uint64_t unit = 4096, units = 32768 * 5 + 77;
    for (uint64_t seed = 1; seed <= 4; ++seed) {
        std::mt19937_64 random(seed);
        std::map<uint64_t, uint64_t> runs;
        std::vector<bool> model(units);
        for (uint64_t at = 0; at < units;) {
            uint64_t run = random() % 5 == 0 ? random() % 70000 + 1 : random() % 100 + 1;
            run = std::min(run, units - at);
            if (random() % 2 == 0) {
                runs[at * unit] = run * unit;
                std::fill_n(model.begin() + static_cast<ptrdiff_t>(at), run, true);
            }
            at += run;
        }
        SCOPED_TRACE(seed);
        expect_like_model(*pattern(units * unit, runs), unit, model);
    }
}

TEST(AllocationIndex, counts_a_unit_with_one_byte_of_data) {
    expect_like_model(*pattern(10 * 4096 + 5, {{4096 * 3 + 4095, 2}, {10 * 4096 + 4, 1}}), 4096,
                      {false, false, false, true, true, false, false, false, false, false, true});
}

TEST(AllocationIndex, of_64_tib_is_small_when_full_or_empty) {
    for (auto runs : {std::map<uint64_t, uint64_t>{}, {{0, 64 * TiB}}}) {
        auto index = AllocationIndex::build(*pattern(64 * TiB, runs), 64 * KiB);
        ASSERT_TRUE(index);
        EXPECT_EQ((*index)->allocated_count(), runs.empty() ? 0 : uint64_t{1} << 30);
        EXPECT_EQ((*index)->rank(uint64_t{1} << 29), runs.empty() ? 0 : uint64_t{1} << 29);
    }
}

// What a compact layout stores.
class AllocatedUnits : public Source {
  public:
    AllocatedUnits(std::shared_ptr<const Source> disk, uint64_t unit_bytes)
        : disk_(std::move(disk)), index_(*AllocationIndex::build(*disk_, unit_bytes)) {}
    uint64_t size_bytes() const override { return index_->allocated_count() * index_->unit_bytes(); }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override {
        return map_allocated(*disk_, *index_, offset, length, out);
    }

  private:
    std::shared_ptr<const Source> disk_;
    std::shared_ptr<const AllocationIndex> index_;
};

TEST(AllocationIndex, maps_allocated_units_one_after_the_other_in_guest_order) {
    constexpr uint64_t unit = 512, units = 40000;
    for (uint64_t seed = 1; seed <= 3; ++seed) {
        SCOPED_TRACE(seed);
        // More runs than one map() has pieces, and the last unit is partial.
        auto runs = test::random_runs(units * unit, unit, 0.4, seed);
        runs[units * unit] = 77;
        auto disk = pattern(units * unit + 77, runs);
        AllocatedUnits stored(disk, unit);
        auto content = test::read_all(*disk);
        content.resize((units + 1) * unit);
        std::vector<std::byte> expected;
        for (uint64_t at = 0; at < content.size(); at += unit)
            if (auto bytes = std::span(content).subspan(at, unit); !all_zero(bytes))
                expected.insert(expected.end(), bytes.begin(), bytes.end());
        ASSERT_EQ(test::read_all(stored), expected);
        test::expect_consistent_reads(stored, seed);
    }
}

TEST(AllocationIndex, of_runs_counts_whole_units_that_they_touch) {
    auto disk = pattern(10 * 4096, {{0, 4096 * 2}, {4096 * 4 + 100, 1}, {4096 * 7, 4096}});
    // The first two meet in unit 1; unit 4 has its only byte of data outside of the run; unit 6 is a hole.
    std::vector<ChangedRun> runs{{4096 + 1, 10}, {4096 + 100, 10}, {4096 * 4 + 4000, 10}, {4096 * 6 - 1, 2}};
    auto stored = AllocationIndex::build(*disk, runs, 4096);
    ASSERT_TRUE(stored) << stored.error().message;
    auto touched = AllocationIndex::touched(disk->size_bytes(), runs, 4096);
    std::vector<bool> has_data, is_touched;
    for (uint64_t unit = 0; unit < 10; ++unit) {
        has_data.push_back((*stored)->allocated(unit));
        is_touched.push_back(touched->allocated(unit));
    }
    EXPECT_EQ(has_data, (std::vector<bool>{0, 1, 0, 0, 1, 0, 0, 0, 0, 0}));
    EXPECT_EQ(is_touched, (std::vector<bool>{0, 1, 0, 0, 1, 1, 1, 0, 0, 0}));
}

}  // namespace
}  // namespace hyper
