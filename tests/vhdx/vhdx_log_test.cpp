// SPDX-License-Identifier: Apache-2.0
// Dirty logs, which are replayed in memory: against what qemu reads after its own replay of a copy.
#include "tests/support/support.h"
#include "tests/vhdx/builder.h"
#include "convert/image.h"

namespace hyper::test {

namespace {

Bytes sector_of(uint8_t value) {
    Bytes sector(4096, std::byte{value});
    for (size_t i : {0, 7, 8, 4091, 4092, 4095}) sector[i] = static_cast<std::byte>(i * 3 + value + 1);
    return sector;
}

// Two blocks of data; the log moves block 1 to where block 0 was, and writes into a block.
struct DirtyImage {
    VhdxBuilder builder;
    uint64_t first, second;
    DirtyImage() {
        first = builder.append(MiB, 0x11);
        second = builder.append(MiB, 0x22);
        builder.set_block(0, first);
    }
    Bytes bat_sector(uint64_t block, uint64_t entry) const {
        Bytes sector(builder.bytes.begin() + VhdxBuilder::bat_offset, builder.bytes.begin() + VhdxBuilder::bat_offset + 4096);
        store_le<uint64_t>(sector.data() + block * 8, entry);
        return sector;
    }
    uint64_t payload(uint64_t entry) const { return round_down(entry, MiB); }
};

std::vector<std::byte> qemu_replay(const ScratchDir& dir, std::span<const std::byte> bytes) {
    write_file(dir.path("copy.vhdx"), bytes);
    must_run("qemu-img check -q -r all -f vhdx " + dir.path("copy.vhdx"));
    must_run("qemu-img convert -f vhdx -O raw " + dir.path("copy.vhdx") + " " + dir.path("raw"));
    return read_file(dir.path("raw"));
}

std::vector<std::byte> our_replay(const ScratchDir& dir, std::span<const std::byte> bytes) {
    write_file(dir.path("dirty.vhdx"), bytes);
    auto image = open_image(engine(), dir.path("dirty.vhdx"));
    EXPECT_TRUE(image) << (image ? "" : image.error().message);
    if (!image) return {};
    EXPECT_EQ((*image)->info().warnings.size(), 1u);
    expect_consistent_reads(**image, 11);
    return read_all(**image);
}

std::string refusal(const ScratchDir& dir, std::span<const std::byte> bytes) {
    write_file(dir.path("dirty.vhdx"), bytes);
    auto image = open_image(engine(), dir.path("dirty.vhdx"));
    return image ? "opened" : image.error().message;
}

}  // namespace

TEST(VhdxLog, replays_tables_as_qemu_does) {
    ScratchDir dir;
    DirtyImage d;
    d.builder.add_log_entry(0, 5, 0, {{VhdxBuilder::bat_offset, d.bat_sector(1, d.second)}});
    d.builder.mark_dirty();
    auto ours = our_replay(dir, d.builder.bytes);
    EXPECT_EQ(ours[MiB], std::byte{0x22});
    EXPECT_EQ(ours, qemu_replay(dir, d.builder.bytes));
}

TEST(VhdxLog, replays_payload_and_zeros_as_qemu_does) {
    ScratchDir dir;
    DirtyImage d;
    d.builder.add_log_entry(0, 5, 0,
                            {{d.payload(d.first) + 8192, sector_of(0x77)},
                             {d.payload(d.first) + 16384, {}, 3 * 4096},
                             {d.payload(d.first) + 20480, sector_of(0x78)}});
    d.builder.mark_dirty();
    auto ours = our_replay(dir, d.builder.bytes);
    EXPECT_EQ(Bytes(ours.begin() + 8192, ours.begin() + 12288), sector_of(0x77));
    EXPECT_EQ(ours, qemu_replay(dir, d.builder.bytes));
}

TEST(VhdxLog, later_entries_win) {
    ScratchDir dir;
    DirtyImage d;
    uint64_t at = d.builder.add_log_entry(0, 5, 0, {{d.payload(d.first), sector_of(1)}, {d.payload(d.first) + 4096, sector_of(2)}});
    at = d.builder.add_log_entry(at, 6, 0, {{d.payload(d.first), sector_of(3)}});
    d.builder.mark_dirty();
    auto ours = our_replay(dir, d.builder.bytes);
    EXPECT_EQ(Bytes(ours.begin(), ours.begin() + 4096), sector_of(3));
    EXPECT_EQ(ours, qemu_replay(dir, d.builder.bytes));
}

TEST(VhdxLog, a_flipped_byte_ends_the_sequence) {
    ScratchDir dir;
    DirtyImage d;
    uint64_t second = d.builder.add_log_entry(0, 5, 0, {{d.payload(d.first), sector_of(1)}});
    uint64_t third = d.builder.add_log_entry(second, 6, 0, {{d.payload(d.first) + 4096, sector_of(2)}});
    d.builder.add_log_entry(third, 7, 0, {{d.payload(d.first) + 8192, sector_of(3)}});
    d.builder.mark_dirty();
    for (uint64_t flip : {third + 6000, third + 20, third}) {
        Bytes bytes = d.builder.bytes;
        bytes[VhdxBuilder::log_offset + flip] ^= std::byte{1};
        auto ours = our_replay(dir, bytes);
        EXPECT_EQ(Bytes(ours.begin() + 4096, ours.begin() + 8192), sector_of(2));
        EXPECT_EQ(ours[8192], std::byte{0x11});
        EXPECT_EQ(ours, qemu_replay(dir, bytes));
    }
}

TEST(VhdxLog, starts_at_the_tail_of_the_last_entry) {
    ScratchDir dir;
    DirtyImage d;
    uint64_t second = d.builder.add_log_entry(0, 5, 0, {{d.payload(d.first), sector_of(1)}});
    d.builder.add_log_entry(second, 6, second, {{d.payload(d.first) + 4096, sector_of(2)}});
    d.builder.mark_dirty();
    auto ours = our_replay(dir, d.builder.bytes);
    EXPECT_EQ(ours[0], std::byte{0x11});
    EXPECT_EQ(Bytes(ours.begin() + 4096, ours.begin() + 8192), sector_of(2));
}

TEST(VhdxLog, follows_a_sequence_around_the_end_of_the_log) {
    ScratchDir dir;
    DirtyImage d;
    uint64_t start = MiB - 5 * 4096;
    // Three entries of two sectors; the last one's second sector is at the log's start.
    uint64_t at = d.builder.add_log_entry(start, 0x100000005, start, {{d.payload(d.first), sector_of(1)}});
    at = d.builder.add_log_entry(at, 0x100000006, start, {{d.payload(d.first) + 4096, sector_of(2)}});
    at = d.builder.add_log_entry(at, 0x100000007, start, {{d.payload(d.first) + 8192, sector_of(3)}});
    EXPECT_EQ(at, 4096u);
    d.builder.mark_dirty();
    auto ours = our_replay(dir, d.builder.bytes);
    for (uint64_t i = 0; i < 3; ++i)
        EXPECT_EQ(Bytes(ours.begin() + static_cast<ptrdiff_t>(i * 4096), ours.begin() + static_cast<ptrdiff_t>(i * 4096 + 4096)),
                  sector_of(static_cast<uint8_t>(i + 1)));
}

TEST(VhdxLog, takes_the_sequence_with_the_highest_number) {
    ScratchDir dir;
    DirtyImage d;
    d.builder.add_log_entry(0, 9, 0, {{d.payload(d.first), sector_of(1)}});
    d.builder.add_log_entry(16 * 4096, 20, 16 * 4096, {{d.payload(d.first) + 4096, sector_of(2)}});
    d.builder.add_log_entry(32 * 4096, 12, 32 * 4096, {{d.payload(d.first) + 8192, sector_of(3)}});
    d.builder.mark_dirty();
    auto ours = our_replay(dir, d.builder.bytes);
    EXPECT_EQ(ours[0], std::byte{0x11});
    EXPECT_EQ(Bytes(ours.begin() + 4096, ours.begin() + 8192), sector_of(2));
    EXPECT_EQ(ours[8192], std::byte{0x11});
    EXPECT_EQ(ours, qemu_replay(dir, d.builder.bytes));
}

TEST(VhdxLog, extends_the_file_to_its_last_file_offset) {
    ScratchDir dir;
    DirtyImage d;
    uint64_t size = d.builder.bytes.size();
    d.builder.last_file_offset = size + MiB;
    d.builder.add_log_entry(0, 5, 0, {{VhdxBuilder::bat_offset, d.bat_sector(2, size | block_fully_present)}, {size + 4096, sector_of(9)}});
    d.builder.mark_dirty();
    auto ours = our_replay(dir, d.builder.bytes);
    EXPECT_EQ(Bytes(ours.begin() + 2 * MiB + 4096, ours.begin() + 2 * MiB + 8192), sector_of(9));
    EXPECT_EQ(ours[2 * MiB], std::byte{0});
}

TEST(VhdxLog, refuses_a_log_without_a_valid_sequence) {
    ScratchDir dir;
    VhdxBuilder builder;
    builder.mark_dirty();
    EXPECT_NE(refusal(dir, builder.bytes).find("no valid sequence"), std::string::npos);
}

TEST(VhdxLog, refuses_entries_that_write_over_headers_or_log_or_past_the_end) {
    ScratchDir dir;
    for (auto [offset, why] : std::vector<std::pair<uint64_t, std::string>>{{0, "over the file's headers"},
                                                                           {64 * KiB, "over the file's headers"},
                                                                           {MiB + 8192, "over the log itself"},
                                                                           {100 * MiB, "past the end"},
                                                                           {~uint64_t{0} - 4095, "past the end"},
                                                                           {4 * MiB + 1, "not whole 4 KiB"}}) {
        VhdxBuilder builder;
        builder.add_log_entry(0, 5, 0, {{offset, sector_of(1)}});
        builder.mark_dirty();
        auto message = refusal(dir, builder.bytes);
        EXPECT_NE(message.find(why), std::string::npos) << message;
        EXPECT_NE(message.find("log entry 5, descriptor 0"), std::string::npos) << message;
    }
}

TEST(VhdxLog, refuses_a_file_that_was_truncated_after_it_was_logged) {
    ScratchDir dir;
    VhdxBuilder builder;
    builder.flushed_file_offset = 100 * MiB;
    builder.add_log_entry(0, 5, 0, {{VhdxBuilder::bat_offset, sector_of(0)}});
    builder.mark_dirty();
    EXPECT_NE(refusal(dir, builder.bytes).find("FlushedFileOffset 104857600"), std::string::npos);
}

TEST(VhdxLog, gives_up_on_a_log_of_long_entries_with_wrong_checksums) {
    ScratchDir dir;
    VhdxBuilder builder;
    for (uint64_t at = 0; at < MiB; at += 4096) {
        builder.add_log_entry(at, 5, 0, {});
        builder.poke<uint32_t>(MiB + at + 8, MiB);
    }
    builder.mark_dirty();
    EXPECT_NE(refusal(dir, builder.bytes).find("log is damaged"), std::string::npos);
}

TEST(VhdxLog, an_image_of_a_killed_qemu_reads_as_qemu_reads_it) {
    ScratchDir dir;
    std::string path = dir.path("disk.vhdx");
    must_run("qemu-img create -q -f vhdx -o block_size=1M " + path + " 16M");
    run("qemu-io -f vhdx -c 'write -P 0x11 0 3M' -c 'write -P 0x22 9M 64k' -c 'sigraise 9' " + path);
    auto image = open_image(engine(), path);
    ASSERT_TRUE(image) << image.error().message;
    auto ours = read_all(**image);
    EXPECT_EQ(ours, qemu_replay(dir, read_file(path)));
    EXPECT_EQ(ours[9 * MiB], std::byte{0x22});
}

}  // namespace hyper::test
