// SPDX-License-Identifier: Apache-2.0
// The checker finds each single fault, and nothing in good files.
#include "convert/check.h"
#include "tests/support/support.h"
#include "tests/vhdx/builder.h"

namespace hyper::test {

namespace {

using B = VhdxBuilder;

CheckReport check(std::span<const std::byte> bytes) {
    auto file = File::from_bytes(bytes, "checked.vhdx", engine().io());
    EXPECT_TRUE(file);
    auto report = check_image(engine(), FileSource(*file), Format::vhdx);
    EXPECT_TRUE(report) << (report ? "" : report.error().message);
    return report ? *report : CheckReport();
}

std::string text_of(const CheckReport& report) {
    std::string text;
    for (const Finding& f : report.findings()) text += f.field + ": " + f.message + "\n";
    return text;
}

// Two blocks of data.
B good() {
    B builder;
    builder.set_block(0, builder.append(MiB, 1));
    builder.set_block(2, builder.append(MiB, 2));
    return builder;
}

void expect_found(const B& builder, std::string_view words) {
    CheckReport report = check(builder.bytes);
    EXPECT_GE(report.error_count(), 1u) << words;
    EXPECT_NE(text_of(report).find(words), std::string::npos) << words << " is not in\n" << text_of(report);
}

template <class T>
B changed(uint64_t offset, T value) {
    B builder = good();
    builder.poke<T>(offset, value);
    return builder;
}
template <class T>
B sealed(uint64_t offset, T value) {
    B builder = changed(offset, value);
    builder.seal();
    return builder;
}

constexpr uint64_t item_entry(uint64_t number) { return B::metadata_offset + 32 + number * 32; }

}  // namespace

TEST(VhdxCheck, finds_nothing_in_a_good_file) {
    CheckReport report = check(good().bytes);
    EXPECT_EQ(report.findings().size(), 0u) << text_of(report);
    EXPECT_EQ(report.virtual_bytes, 4 * MiB);
    EXPECT_EQ(report.allocated_bytes, 2 * MiB);
}

TEST(VhdxCheck, finds_no_error_in_what_qemu_img_writes) {
    for (const char* options : {"subformat=dynamic", "subformat=fixed", "subformat=dynamic,block_size=1M,log_size=2M"}) {
        SCOPED_TRACE(options);
        ScratchDir dir;
        std::string path = dir.path("a.vhdx");
        must_run("qemu-img create -q -f vhdx -o " + std::string(options) + " " + path + " 21M");
        must_run("qemu-io -f vhdx -c 'write 3M 5M' -c 'write 20M 1M' " + path);
        CheckReport report = check(read_file(path));
        EXPECT_EQ(report.error_count(), 0u) << text_of(report);
    }
}

TEST(VhdxCheck, file_identifier) { expect_found(changed<uint8_t>(3, 0), "file identifier"); }

TEST(VhdxCheck, one_bad_header) {
    expect_found(changed<uint8_t>(header_offsets[0] + 200, 1), "header 1: the checksum");
    expect_found(changed<uint8_t>(header_offsets[1] + 200, 1), "header 2: the checksum");
    expect_found(sealed<uint8_t>(header_offsets[1], 1), "header 2: the signature");
}

TEST(VhdxCheck, header_fields) {
    expect_found(sealed<uint8_t>(header_offsets[0] + 200, 1), "header 1: reserved bytes");
    expect_found(sealed<uint8_t>(header_offsets[0] + offsetof(Header, version), 3), "header 1: version 3");
    expect_found(sealed<uint64_t>(header_offsets[1] + offsetof(Header, log_offset), MiB + 4096), "log: offset");
    B equal = sealed<uint64_t>(header_offsets[0] + offsetof(Header, sequence_number), 8);
    EXPECT_EQ(check(equal.bytes).warning_count(), 1u);
    equal.poke<uint8_t>(header_offsets[0] + offsetof(Header, file_write_guid), 1);
    equal.seal();
    expect_found(equal, "they differ");
}

TEST(VhdxCheck, both_headers_bad) {
    B builder = good();
    for (uint64_t at : header_offsets) builder.poke<uint8_t>(at + 200, 1);
    EXPECT_EQ(check(builder.bytes).error_count(), 2u);
}

TEST(VhdxCheck, one_bad_region_table) {
    expect_found(changed<uint8_t>(region_table_offsets[0] + 20, 1), "region table 1: the checksum");
    expect_found(changed<uint8_t>(region_table_offsets[1] + 20, 1), "region table 2: the checksum");
    expect_found(sealed<uint32_t>(region_table_offsets[1] + 12, 1), "the two tables differ");
    expect_found(sealed<uint32_t>(region_table_offsets[0] + 12, 1), "region table 1: the reserved field");
}

TEST(VhdxCheck, regions) {
    auto both = [](uint64_t within, auto value) {
        B builder = good();
        for (uint64_t at : region_table_offsets) builder.poke(at + within, value);
        builder.seal();
        return builder;
    };
    expect_found(both(16 + 16, B::metadata_offset), "overlaps the region");
    expect_found(both(16 + 16, uint64_t{100} * MiB), "region BAT: offset");
    expect_found(both(16 + 16, uint64_t{3} * MiB + 4096), "region BAT: offset");
    EXPECT_EQ(text_of(check(both(16 + 28, uint32_t{0}).bytes)), "region BAT: not marked required\n");
    expect_found(both(16 + 28, uint32_t{3}), "region BAT: reserved bits");
    expect_found(both(16, uint8_t{1}), "region BAT: missing");
}

TEST(VhdxCheck, metadata_table) {
    expect_found(changed<uint8_t>(B::metadata_offset, 1), "metadata table: the signature");
    expect_found(changed<uint16_t>(B::metadata_offset + 8, 1), "metadata table: reserved");
    expect_found(changed<uint16_t>(B::metadata_offset + 10, 2048), "metadata table: entry count 2048");
    expect_found(changed<uint32_t>(item_entry(1) + 16, 100), "virtual disk size: offset 100");
    expect_found(changed<uint32_t>(item_entry(1) + 16, 65536 + 4), "overlaps the metadata item");
    expect_found(changed<uint32_t>(item_entry(1) + 24, 4), "virtual disk size: flags 4");
    expect_found(changed<uint32_t>(item_entry(1) + 28, 4), "virtual disk size: reserved bits");
    expect_found(changed<uint16_t>(B::metadata_offset + 10, 4), "physical sector size is missing");
    B twice = good();
    twice.put(item_entry(4), logical_sector_item.bytes);
    expect_found(twice, "is there twice");
    B unknown = good();
    unknown.put(item_entry(4), B::log_guid.bytes);
    expect_found(unknown, "is required and unknown");
}

TEST(VhdxCheck, metadata_values) {
    expect_found(changed<uint32_t>(B::items_offset, 3 * MiB), "block size 3145728");
    expect_found(changed<uint32_t>(B::items_offset + 4, 4), "reserved flags");
    expect_found(changed<uint32_t>(B::items_offset + 4, 2), "parent locator: missing");
    expect_found(changed<uint64_t>(B::items_offset + 8, 4 * MiB + 1), "is not a whole number");
    expect_found(changed<uint64_t>(B::items_offset + 8, 1ull << 63), "is more than 64 TiB");
    expect_found(changed<uint64_t>(B::items_offset + 8, 1 * TiB), "too short for");
    expect_found(changed<uint32_t>(B::items_offset + 32, 520), "520 is neither");
    expect_found(changed<uint32_t>(B::items_offset + 36, 520), "520 is neither");
}

TEST(VhdxCheck, bat_entries) {
    auto with = [](uint64_t entry) {
        B builder = good();
        builder.set_block(1, entry);
        return builder;
    };
    expect_found(with(100 * MiB | 6), "BAT entry 1 (block 1): offset 104857600 and 1048576 bytes lie past the end");
    expect_found(with(3 * MiB | 6), "BAT entry 1 (block 1): offset 3145728 is also that of a region");
    expect_found(with(6), "BAT entry 1 (block 1): offset 0 is also that of a region");
    expect_found(with(4 * MiB | 6), "is also that of a region or of another block");
    expect_found(with(5), "state 5 is reserved");
    expect_found(with(4), "state 4 is reserved");
    expect_found(with(6 * MiB | 7), "the disk has no parent");
    expect_found(with(0x1000), "reserved bits");
}

TEST(VhdxCheck, sector_bitmap_entries) {
    B builder({.virtual_bytes = 5 * GiB});
    builder.set_bat(4096, builder.append(MiB, 0));
    expect_found(builder, "BAT entry 4096 (sector bitmap 0): present, but the disk has no parent");
    builder.set_bat(4096, 3);
    expect_found(builder, "BAT entry 4096 (sector bitmap 0): state 3");
    B child({.locator = {{u"parent_linkage", B::data_write_text}}});
    child.set_block(1, child.append(MiB, 1, block_partially_present));
    expect_found(child, "absent, but a block of the chunk is partially present");
    child.set_bat(child.layout().bitmap_index(0), child.append(MiB, 1));
    EXPECT_EQ(check(child.bytes).error_count(), 0u) << text_of(check(child.bytes));
    child.set_bat(child.layout().bitmap_index(0), 4 * MiB | 6);
    expect_found(child, "is also that of a region or of another block");
}

TEST(VhdxCheck, truncated) {
    B builder = good();
    for (uint64_t size : {builder.bytes.size() - 1, builder.bytes.size() - MiB, 3 * MiB, 2 * MiB, MiB, uint64_t{100}, uint64_t{0}}) {
        B cut = builder;
        cut.bytes.resize(size);
        EXPECT_GE(check(cut.bytes).error_count(), 1u) << size;
    }
}

TEST(VhdxCheck, a_dirty_log_is_a_warning_and_the_tables_are_those_after_it) {
    B builder = good();
    Bytes bat(4096);
    store_le<uint64_t>(bat.data(), 4 * MiB | 6);
    store_le<uint64_t>(bat.data() + 8, 4 * MiB | 6);
    builder.add_log_entry(0, 3, 0, {{B::bat_offset, Bytes(4096)}});
    builder.mark_dirty();
    CheckReport report = check(builder.bytes);
    EXPECT_EQ(report.error_count(), 0u) << text_of(report);
    EXPECT_EQ(report.warning_count(), 1u);
    EXPECT_EQ(report.allocated_bytes, 0u);
    builder.add_log_entry(4096 * 2, 4, 0, {{B::bat_offset, bat}});
    expect_found(builder, "another block");
    builder.poke<uint8_t>(B::log_offset + 100, 1);
    builder.poke<uint8_t>(B::log_offset + 8192 + 100, 1);
    expect_found(builder, "no valid sequence");
}

}  // namespace hyper::test
