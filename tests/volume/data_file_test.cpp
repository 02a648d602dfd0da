// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/data_file.h"

#include "blockengine/base/hex.h"
#include "tests/volume/data_support.h"

namespace hyper {
namespace {

using test::FaultyIo;
using test::Operation;
using test::SomeBlocks;

class DataFileTest : public testing::Test {
  protected:
    std::unique_ptr<DataFiles> open(DataPosition at = {}, uint64_t file_bytes_max = GiB) {
        auto files = DataFiles::open(io_, folder(), test::some_volume_id(), at, file_bytes_max);
        EXPECT_TRUE(files) << files.error().message;
        return files ? std::move(*files) : nullptr;
    }
    std::string folder() const { return scratch_.dir().string(); }
    std::string path(uint32_t number) const { return data_file_path(folder(), number); }
    std::vector<std::string> scan(uint32_t number) { return test::scan_path(path(number), number); }
    // What is at a place.
    std::vector<std::byte> stored(const Place& place) {
        auto bytes = test::read_file(path(place.file));
        auto first = bytes.begin() + static_cast<ptrdiff_t>(place.offset);
        return {first, first + place.stored_bytes};
    }

    test::ScratchDir scratch_;
    FaultyIo io_;
};

TEST_F(DataFileTest, stores_blocks_at_the_places_it_says) {
    auto files = open();
    SomeBlocks some(7, {4096, 100, 65536, 1});
    auto entries = files->append_batch(1, 2, some.blocks);
    ASSERT_TRUE(entries) << entries.error().message;
    ASSERT_EQ(entries->size(), 4u);
    for (size_t i = 0; i < 4; ++i) {
        EXPECT_EQ(stored((*entries)[i].place), some.contents[i]);
        EXPECT_EQ((*entries)[i].hash, some.blocks[i].hash);
    }
    EXPECT_EQ(files->position().end % 4096, 0u);
    EXPECT_EQ(files->position().end, std::filesystem::file_size(path(1)));
}

TEST_F(DataFileTest, is_read_back_by_a_scan) {
    auto files = open();
    SomeBlocks some(7, {1000, 5000});
    some.blocks[1].codec = BlockCodec::zstd;
    some.blocks.push_back({20, BlockCodec::zeros, {}, {}, {}});
    some.blocks.push_back({21, BlockCodec::plain, Hash128{std::byte{1}}, {}, {5, 4096, 123456}});
    some.blocks.push_back({22, BlockCodec::lost, {}, {}, {}});
    ASSERT_TRUE(files->append_batch(3, 77, some.blocks));
    ASSERT_TRUE(files->append_text(RecordKind::generation, 3, 77, R"({"size":5})"));
    ASSERT_TRUE(files->append_text(RecordKind::pruned, 1, 76, "[1]"));
    ASSERT_TRUE(files->sync());
    std::string zero(32, '0');
    EXPECT_EQ(scan(1), (std::vector<std::string>{
        R"(0..8192 kind 1 generation 0 attempt 0 sequence 0 {"volume":"01010101010101010101010101010101","file":1,"version":1})",
        "8192..20480 kind 2 generation 3 attempt 77 sequence 1 [7: 1 1+12288+1000 " + hex(some.blocks[0].hash) +
            " here] [8: 2 1+13288+5000 " + hex(some.blocks[1].hash) + " here] [20: 0 0+0+0 " + zero +
            "] [21: 1 5+123456+4096 01" + zero.substr(2) + "] [22: 3 0+0+0 " + zero + "]",
        R"(20480..28672 kind 3 generation 3 attempt 77 sequence 2 {"size":5})",
        "28672..36864 kind 4 generation 1 attempt 76 sequence 3 [1]"}));
}

TEST_F(DataFileTest, takes_a_whole_batch_of_blocks) {
    auto files = open();
    SomeBlocks some(0, std::vector<size_t>(batch_blocks_max, 999));
    auto entries = files->append_batch(1, 1, some.blocks);
    ASSERT_TRUE(entries);
    for (size_t i = 0; i < some.blocks.size(); ++i) ASSERT_EQ(stored((*entries)[i].place), some.contents[i]) << i;
    EXPECT_EQ(scan(1).size(), 2u);
}

TEST_F(DataFileTest, seals_a_file_that_is_full_and_begins_another) {
    auto files = open({}, 100000);
    std::vector<std::pair<Place, std::vector<std::byte>>> all;
    for (uint64_t i = 0; i < 10; ++i) {
        SomeBlocks some(i, {40000});
        auto entries = files->append_batch(1, 1, some.blocks);
        ASSERT_TRUE(entries);
        all.push_back({(*entries)[0].place, some.contents[0]});
    }
    EXPECT_EQ(files->position().file, 5u);
    for (auto& [place, content] : all) EXPECT_EQ(stored(place), content);
    auto first = scan(1), last = scan(5);
    ASSERT_EQ(first.size(), 4u);
    EXPECT_NE(first[3].find(R"(kind 5 generation 0 attempt 0 sequence 3 {"records":4})"), std::string::npos) << first[3];
    ASSERT_EQ(last.size(), 3u);
    EXPECT_NE(last[0].find("sequence 16 "), std::string::npos) << last[0];
}

TEST_F(DataFileTest, gives_a_batch_that_is_larger_than_a_file_one_to_itself) {
    auto files = open({}, 50000);
    for (uint64_t i = 0; i < 3; ++i) ASSERT_TRUE(files->append_batch(1, 1, SomeBlocks(i, {200000}).blocks));
    EXPECT_EQ(files->position().file, 3u);
}

TEST_F(DataFileTest, goes_on_where_it_was_and_cuts_off_what_came_after) {
    auto files = open();
    ASSERT_TRUE(files->append_batch(1, 1, SomeBlocks(0, {5000}).blocks));
    DataPosition at = files->position();
    auto before = scan(1);
    ASSERT_TRUE(files->append_batch(1, 1, SomeBlocks(1, {50000}).blocks));
    files = open(at);
    EXPECT_EQ(files->position(), at);
    EXPECT_EQ(scan(1), before);
    ASSERT_TRUE(files->append_text(RecordKind::generation, 1, 2, "{}"));
    auto after = scan(1);
    ASSERT_EQ(after.size(), before.size() + 1);
    EXPECT_NE(after.back().find("sequence 2 {}"), std::string::npos) << after.back();
}

TEST_F(DataFileTest, goes_on_behind_a_hole_where_bytes_did_not_reach_the_disk) {
    auto files = open();
    ASSERT_TRUE(files->append_batch(1, 1, SomeBlocks(0, {5000}).blocks));
    std::filesystem::resize_file(path(1), 8192 + 4096 + 100);
    files = open(files->position());
    ASSERT_TRUE(files->append_text(RecordKind::generation, 1, 2, "{}"));
    EXPECT_EQ(scan(1).size(), 3u);
}

TEST_F(DataFileTest, begins_a_file_over_what_a_crash_left_of_it) {
    test::write_file(path(1), std::vector<std::byte>(100000, std::byte{1}));
    open();
    EXPECT_EQ(scan(1).size(), 1u);
    EXPECT_EQ(std::filesystem::file_size(path(1)), 8192u);
}

TEST_F(DataFileTest, refuses_a_file_of_another_volume) {
    auto files = open();
    auto other = DataFiles::open(io_, folder(), test::some_volume_id(2), files->position(), GiB);
    ASSERT_FALSE(other);
    EXPECT_EQ(other.error().code, EIO);
    EXPECT_NE(other.error().message.find(path(1)), std::string::npos) << other.error().message;
}

TEST_F(DataFileTest, refuses_a_position_in_a_file_that_is_not_there) {
    auto files = DataFiles::open(io_, folder(), test::some_volume_id(), {3, 8192, 1}, GiB);
    ASSERT_FALSE(files);
    EXPECT_EQ(files.error().code, ENOENT);
}

TEST_F(DataFileTest, refuses_everything_once_the_disk_was_full_and_goes_on_when_it_is_opened_again) {
    auto files = open();
    ASSERT_TRUE(files->append_batch(1, 1, SomeBlocks(0, {5000}).blocks));
    DataPosition at = files->position();
    auto before = scan(1);
    io_.set_room(30000);
    SomeBlocks some(1, {20000, 20000, 20000});
    auto result = files->append_batch(1, 1, some.blocks);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ENOSPC);
    io_.heal();
    EXPECT_EQ(files->append_batch(1, 1, some.blocks).error().code, ENOSPC);
    EXPECT_EQ(files->append_text(RecordKind::generation, 1, 1, "{}").error().code, ENOSPC);
    EXPECT_EQ(files->sync().error().code, ENOSPC);
    EXPECT_EQ(files->position(), at);
    files = open(at);
    EXPECT_EQ(scan(1), before);
    EXPECT_TRUE(files->append_batch(1, 1, some.blocks));
    EXPECT_TRUE(files->sync());
}

TEST_F(DataFileTest, calls_nothing_durable_after_a_sync_that_failed) {
    auto files = open();
    io_.fail(Operation::sync, 0);
    EXPECT_FALSE(files->sync());
    EXPECT_FALSE(files->sync());
    EXPECT_FALSE(files->append_batch(1, 1, SomeBlocks(0, {100}).blocks));
    EXPECT_TRUE(open(files->position())->sync());
}

// Through each write and each sync of a roll-over: the old position stays good until the new file is there.
TEST_F(DataFileTest, survives_a_crash_at_any_step_of_a_roll_over) {
    for (Operation kind : {Operation::write, Operation::sync}) {
        for (uint64_t nth = 0;; ++nth) {
            auto files = open({}, 30000);
            ASSERT_TRUE(files->append_batch(1, 1, SomeBlocks(0, {20000}).blocks));
            io_.fail(kind, nth, {.bytes_moved = 30, .crash = true});
            auto appended = files->append_batch(1, 1, SomeBlocks(1, {20000}).blocks);
            bool synced = appended && files->sync();
            bool crashed = io_.crashed();
            EXPECT_EQ(synced, !crashed) << nth;
            io_.heal();
            DataPosition at = files->position();
            files = open(at, 30000);
            ASSERT_TRUE(files);
            auto again = files->append_batch(1, 2, SomeBlocks(1, {20000}).blocks);
            ASSERT_TRUE(again && files->sync());
            for (uint32_t number = 1; number <= files->position().file; ++number) {
                auto lines = scan(number);
                for (const std::string& line : lines) {
                    EXPECT_EQ(line.find("damaged"), std::string::npos) << line;
                    EXPECT_EQ(line.find("kind 5") != std::string::npos, number < files->position().file && &line == &lines.back())
                        << line;
                }
            }
            EXPECT_EQ(stored((*again)[0].place), SomeBlocks(1, {20000}).contents[0]);
            if (!crashed) {
                EXPECT_GE(nth, 2u);
                break;
            }
        }
    }
}

TEST_F(DataFileTest, syncs_a_new_file_and_its_name_before_it_is_used) {
    auto files = open();
    uint64_t before = io_.count(Operation::sync);
    EXPECT_EQ(before, 2u);
    ASSERT_TRUE(files->append_text(RecordKind::generation, 1, 1, "{}"));
    ASSERT_TRUE(files->sync());
    EXPECT_EQ(io_.count(Operation::sync), before + 1);
}

TEST_F(DataFileTest, syncs_a_sealed_file_before_it_goes_on_in_the_next) {
    auto files = open({}, 30000);
    ASSERT_TRUE(files->append_batch(1, 1, SomeBlocks(0, {20000}).blocks));
    uint64_t before = io_.count(Operation::sync);
    ASSERT_TRUE(files->append_batch(1, 1, SomeBlocks(1, {20000}).blocks));
    ASSERT_EQ(files->position().file, 2u);
    EXPECT_EQ(io_.count(Operation::sync), before + 3);
}

TEST_F(DataFileTest, refuses_a_text_that_no_scan_would_read) {
    auto files = open();
    EXPECT_TRUE(files->append_text(RecordKind::generation, 1, 1, std::string(record_text_bytes_max, ' ')));
    EXPECT_EQ(files->append_text(RecordKind::generation, 1, 1, std::string(record_text_bytes_max + 1, ' ')).error().code, EINVAL);
    EXPECT_TRUE(files->append_text(RecordKind::generation, 1, 1, "{}"));
    EXPECT_EQ(scan(1).size(), 3u);
}

}  // namespace
}  // namespace hyper
