// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/data_scan.h"

#include "tests/volume/data_support.h"

namespace hyper {
namespace {

using test::SomeBlocks;

// A file of four records: file, batch, batch, generation.
class DataScanTest : public testing::Test {
  protected:
    void SetUp() override {
        auto io = make_pread_io();
        auto files = DataFiles::open(*io, scratch_.dir().string(), test::some_volume_id(), {}, GiB);
        ASSERT_TRUE(files);
        ASSERT_TRUE((*files)->append_batch(1, 1, SomeBlocks(0, {3000, 2000}).blocks));
        ASSERT_TRUE((*files)->append_batch(1, 1, SomeBlocks(2, {4096}).blocks));
        ASSERT_TRUE((*files)->append_text(RecordKind::generation, 1, 1, R"({"size":3})"));
        bytes_ = test::read_file(data_file_path(scratch_.dir().string(), 1));
        good_ = scan(bytes_);
        ASSERT_EQ(good_.size(), 4u);
    }
    std::vector<std::string> scan(std::span<const std::byte> bytes, uint32_t number = 1, int volume = 1) {
        auto file = File::from_bytes(bytes, "data", test::engine().io());
        EXPECT_TRUE(file);
        return test::scan_lines(**file, number, test::some_volume_id(volume));
    }
    static constexpr size_t first_batch = 8192, second_batch = 20480, generation = 28672, end = 36864;

    test::ScratchDir scratch_;
    std::vector<std::byte> bytes_;
    std::vector<std::string> good_;
};

TEST_F(DataScanTest, skips_a_damaged_record_and_says_where_it_is) {
    for (size_t at : {first_batch, first_batch + 20, first_batch + 64 + 5}) {
        auto damaged = bytes_;
        damaged[at] ^= std::byte{1};
        EXPECT_EQ(scan(damaged), (std::vector<std::string>{good_[0], "damaged 8192+12288", good_[2], good_[3]})) << at;
    }
}

TEST_F(DataScanTest, joins_damaged_records_to_one_range) {
    std::fill(bytes_.begin() + first_batch, bytes_.begin() + generation, std::byte{0});
    EXPECT_EQ(scan(bytes_), (std::vector<std::string>{good_[0], "damaged 8192+20480", good_[3]}));
}

TEST_F(DataScanTest, reads_on_behind_a_text_that_is_damaged) {
    bytes_[4096 + 20] ^= std::byte{1};
    EXPECT_EQ(scan(bytes_), (std::vector<std::string>{"damaged 0+8192", good_[1], good_[2], good_[3]}));
}

TEST_F(DataScanTest, says_what_is_missing_of_a_batch_that_is_cut_off) {
    auto lines = scan(std::span(bytes_).first(first_batch + 4096 + 3500));
    EXPECT_EQ(lines, (std::vector<std::string>{good_[0], good_[1] + " missing 1500"}));
}

TEST_F(DataScanTest, finds_no_record_in_what_is_cut_off_before_it_is_whole) {
    EXPECT_EQ(scan(std::span(bytes_).first(first_batch + 100)), (std::vector<std::string>{good_[0], "damaged 8192+100"}));
    EXPECT_EQ(scan(std::span(bytes_).first(first_batch + 10)), (std::vector<std::string>{good_[0], "damaged 8192+10"}));
    EXPECT_EQ(scan(std::span(bytes_).first(generation + 4100)),
              (std::vector<std::string>{good_[0], good_[1], good_[2], "damaged 28672+4100"}));
    EXPECT_TRUE(scan({}).empty());
}

// What a record's place, or the volume, or the file is not, is none: a disk may hold a copy of its own volume.
TEST_F(DataScanTest, takes_a_record_for_one_only_where_it_was_written) {
    EXPECT_EQ(scan(bytes_, 2), std::vector<std::string>{"damaged 0+36864"});
    EXPECT_EQ(scan(bytes_, 1, 2), std::vector<std::string>{"damaged 0+36864"});
    std::copy(bytes_.begin() + generation, bytes_.begin() + end, bytes_.begin() + first_batch);
    EXPECT_EQ(scan(bytes_), (std::vector<std::string>{good_[0], "damaged 8192+12288", good_[2], good_[3]}));
}

TEST_F(DataScanTest, never_misreads_any_flipped_byte) {
    auto outside_heads_and_texts = [&](size_t at) {
        for (auto [from, to] : {std::pair<size_t, size_t>{0, 64}, {4096, 4096 + 16 + 66}, {first_batch, first_batch + 160},
                                {second_batch, second_batch + 112}, {generation, generation + 64},
                                {generation + 4096, generation + 4096 + 26}})
            if (at >= from && at < to) return false;
        return true;
    };
    for (size_t at = 0; at < bytes_.size(); ++at) {
        if (outside_heads_and_texts(at) && at % 61 != 0) continue;
        for (auto mask : {std::byte{1}, std::byte{0x80}, std::byte{0xff}}) {
            bytes_[at] ^= mask;
            auto lines = scan(bytes_);
            bytes_[at] ^= mask;
            if (lines == good_) {
                ASSERT_TRUE(outside_heads_and_texts(at)) << at;
                continue;
            }
            ASSERT_FALSE(outside_heads_and_texts(at)) << at;
            ASSERT_EQ(lines.size(), 4u) << at;
            int damaged = 0;
            for (size_t i = 0; i < 4; ++i) {
                if (lines[i].starts_with("damaged"))
                    ++damaged;
                else
                    ASSERT_EQ(lines[i], good_[i]) << at;
            }
            ASSERT_EQ(damaged, 1) << at;
        }
    }
}

// Right hashes on wrong content: what our own bug, or somebody with the volume's id, would write.
TEST_F(DataScanTest, refuses_entries_that_contradict_the_format) {
    struct {
        size_t offset;
        uint64_t value;
        size_t bytes;
    } const wrong[] = {{first_batch + 8, 77, 4},            // kind
                       {first_batch + 12, 257, 4},          // count
                       {first_batch + 16, 5001, 8},         // body_bytes
                       {first_batch + 16, UINT64_MAX, 8},
                       {first_batch + 28, 1, 4},            // reserved
                       {first_batch + 64 + 12, 4, 1},       // codec
                       {first_batch + 64 + 13, 1, 1},       // reserved
                       {first_batch + 64 + 16, 12287, 8},   // offset: not in the body
                       {first_batch + 64 + 24, 0, 4},       // stored_bytes
                       {first_batch + 64 + 24, 2999, 4},    // a gap
                       {first_batch + 64 + 28, 1, 4}};      // reserved
    for (const auto& [offset, value, count] : wrong) {
        auto bytes = bytes_;
        std::memcpy(&bytes[offset], &value, count);
        set_record_hash({test::some_volume_id(), 1, first_batch}, std::span(bytes).subspan(first_batch, 160));
        EXPECT_EQ(scan(bytes), (std::vector<std::string>{good_[0], "damaged 8192+12288", good_[2], good_[3]})) << offset;
    }
    set_record_hash({test::some_volume_id(), 1, first_batch}, std::span(bytes_).subspan(first_batch, 160));
    EXPECT_EQ(scan(bytes_), good_);
}

TEST_F(DataScanTest, goes_on_behind_what_the_disk_cannot_read) {
    class BadSector : public test::PassingIo {
      public:
        void read(std::span<ReadOp> ops) override {
            PassingIo::read(ops);
            for (ReadOp& op : ops)
                if (op.offset <= first_batch && op.offset + op.buffer.size() > first_batch) op.error = EIO;
        }
    } io;
    auto file = File::from_bytes(bytes_, "data", io);
    ASSERT_TRUE(file);
    EXPECT_EQ(test::scan_lines(**file, 1), (std::vector<std::string>{good_[0], "damaged 8192+12288", good_[2], good_[3]}));
}

TEST_F(DataScanTest, ends_with_the_error_of_its_visitor) {
    auto file = File::from_bytes(bytes_, "data", test::engine().io());
    ScanVisitor visitor{[](const ScannedRecord&) -> Result<void> { return fail(ECANCELED, "enough"); },
                        [](uint64_t, uint64_t, const std::string&) -> Result<void> { return {}; }};
    auto result = scan_data_file(**file, 1, test::some_volume_id(), visitor);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ECANCELED);
}

}  // namespace
}  // namespace hyper
