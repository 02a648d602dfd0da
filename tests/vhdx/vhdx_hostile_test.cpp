// SPDX-License-Identifier: Apache-2.0
// Damaged and hostile images: each is refused with a message that names the field.
#include "convert/image.h"
#include "tests/support/support.h"
#include "tests/vhdx/builder.h"

namespace hyper::test {

namespace {

using B = VhdxBuilder;
constexpr uint64_t item_entry(uint64_t number) { return B::metadata_offset + 32 + number * 32; }

// The message of opening the image and reading all of it.
std::string refusal(const B& builder) {
    auto file = File::from_bytes(builder.bytes, "/nonexistent/hostile.vhdx", engine().io());
    if (!file) return "no file";
    ScratchDir dir;
    write_file(dir.path("hostile.vhdx"), builder.bytes);
    auto image = open_image(engine(), dir.path("hostile.vhdx"));
    if (!image) return image.error().message;
    std::vector<std::byte> bytes((*image)->size_bytes());
    auto read = engine().read(**image, 0, bytes);
    return read ? "read without a word" : read.error().message;
}

void expect_refused(const B& builder, std::string_view words) {
    auto message = refusal(builder);
    EXPECT_NE(message.find(words), std::string::npos) << message;
    EXPECT_NE(message.find("hostile.vhdx"), std::string::npos) << message;
}

// A change to both region tables, sealed.
template <class T>
B with_region(uint64_t within, T value) {
    B builder;
    for (uint64_t at : region_table_offsets) builder.poke<T>(at + within, value);
    builder.seal();
    return builder;
}
template <class T>
B with_item(uint64_t within, T value) {
    B builder;
    builder.poke<T>(B::items_offset + within, value);
    return builder;
}
template <class T>
B with_header(uint64_t within, T value) {
    B builder;
    for (uint64_t at : header_offsets) builder.poke<T>(at + within, value);
    builder.seal();
    return builder;
}

}  // namespace

TEST(VhdxHostile, not_a_vhdx_file) {
    B builder;
    builder.poke<uint8_t>(0, 'x');
    expect_refused(builder, "file identifier");
}

TEST(VhdxHostile, truncated) {
    for (uint64_t size : {uint64_t{0}, uint64_t{512}, 200 * KiB, MiB, 2 * MiB, 3 * MiB, 4 * MiB - 1}) {
        B builder;
        builder.bytes.resize(size);
        auto message = refusal(builder);
        EXPECT_NE(message.find("hostile.vhdx: "), std::string::npos) << message;
        EXPECT_EQ(message.find("without a word"), std::string::npos) << size;
    }
    B builder;
    builder.set_block(0, builder.append(MiB, 1));
    builder.bytes.resize(builder.bytes.size() - 1);
    expect_refused(builder, "BAT entry 0 (block 0)");
}

TEST(VhdxHostile, versions_that_are_unknown) {
    expect_refused(with_header<uint16_t>(offsetof(Header, version), 2), "version 2");
    expect_refused(with_header<uint16_t>(offsetof(Header, log_version), 1), "log version 1");
}

TEST(VhdxHostile, a_log_outside_the_file_or_over_the_headers) {
    expect_refused(with_header<uint64_t>(offsetof(Header, log_offset), 1ull << 62), "log offset");
    expect_refused(with_header<uint64_t>(offsetof(Header, log_offset), 12345), "log offset 12345");
    expect_refused(with_header<uint64_t>(offsetof(Header, log_offset), 0), "overlaps");
}

TEST(VhdxHostile, regions_that_overlap) {
    expect_refused(with_region<uint64_t>(16 + 16, B::metadata_offset), "overlaps the");
    expect_refused(with_region<uint64_t>(16 + 16, B::log_offset), "overlaps the");
    expect_refused(with_region<uint64_t>(16 + 16, 0), "overlaps the");
}

TEST(VhdxHostile, a_bat_past_the_end_of_the_file) {
    expect_refused(with_region<uint64_t>(16 + 16, 1ull << 60), "region BAT: offset");
    expect_refused(with_region<uint32_t>(16 + 24, 0xfff00000), "region BAT: offset");
    expect_refused(with_region<uint32_t>(16 + 24, 0), "region BAT: offset");
}

TEST(VhdxHostile, a_region_table_without_end) {
    expect_refused(with_region<uint32_t>(8, 0xffffffff), "entry count 4294967295");
    expect_refused(with_region<uint32_t>(8, 1), "metadata region is missing");
}

TEST(VhdxHostile, an_unknown_required_region) {
    B builder;
    for (uint64_t at : region_table_offsets) {
        RegionEntry entry{B::log_guid, 3 * MiB, MiB, 1};
        builder.put(at + 16 + 64, bytes_of(entry));
        builder.poke<uint32_t>(at + 8, 3);
    }
    builder.seal();
    expect_refused(builder, "region feedf00d-0001-0002-0000-000000000003 is required and unknown");
}

TEST(VhdxHostile, an_unknown_required_metadata_item) {
    B builder;
    builder.put(item_entry(2), B::log_guid.bytes);
    expect_refused(builder, "metadata item feedf00d-0001-0002-0000-000000000003");
}

TEST(VhdxHostile, a_metadata_item_outside_its_region) {
    for (uint32_t offset : {0u, 65535u, 0xfffffff0u, static_cast<uint32_t>(MiB - 4)}) {
        B builder;
        builder.poke<uint32_t>(item_entry(1) + 16, offset);
        expect_refused(builder, "metadata item virtual disk size: offset");
    }
    B builder;
    builder.poke<uint32_t>(item_entry(1) + 20, 9);
    expect_refused(builder, "metadata item virtual disk size: length 9");
}

TEST(VhdxHostile, a_metadata_item_that_is_there_twice) {
    B builder;
    builder.put(item_entry(2), virtual_size_item.bytes);
    builder.poke<uint32_t>(item_entry(2) + 20, 8);
    expect_refused(builder, "metadata item virtual disk size: there are two");
}

TEST(VhdxHostile, a_metadata_item_that_is_missing) {
    for (uint64_t item : {0, 1, 3, 4}) {
        B builder;
        builder.put(item_entry(item), B::log_guid.bytes);
        builder.poke<uint32_t>(item_entry(item) + 24, 0);
        EXPECT_EQ(refusal(builder).find("without a word"), std::string::npos) << item;
    }
}

TEST(VhdxHostile, block_sizes_that_do_not_exist) {
    for (uint32_t size : {0u, 1u, 65536u, 3u << 20, 512u << 20, 0xffffffffu})
        expect_refused(with_item<uint32_t>(0, size), fmt::format("block size {} is not", size));
}

TEST(VhdxHostile, virtual_sizes_that_do_not_exist) {
    expect_refused(with_item<uint64_t>(8, 1ull << 63), "virtual disk size 9223372036854775808");
    expect_refused(with_item<uint64_t>(8, MiB + 1), "virtual disk size 1048577 is not a whole number");
    expect_refused(with_item<uint64_t>(8, 64 * TiB), "region BAT: length 1048576 is too short");
}

TEST(VhdxHostile, sector_sizes_that_do_not_exist) {
    expect_refused(with_item<uint32_t>(32, 0), "logical sector size 0");
    expect_refused(with_item<uint32_t>(32, 1024), "logical sector size 1024");
    expect_refused(with_item<uint32_t>(36, 7), "physical sector size 7");
}

TEST(VhdxHostile, bat_entries) {
    for (auto [entry, words] : std::vector<std::pair<uint64_t, std::string>>{
             {5 * MiB | 4, "state 4 is reserved"},
             {5 * MiB | 5, "state 5 is reserved"},
             {5 * MiB | 7, "no parent"},
             {5 * MiB | 6, "past the end of the file"},
             {~uint64_t{0} << 20 | 6, "past the end of the file"},
             {6, "over the header section"},
             {MiB | 6, "over the log"},
             {2 * MiB | 6, "over the metadata"},
             {3 * MiB | 6, "over the BAT"},
             {4 * MiB | 0x1006, "reserved bits"}}) {
        B builder;
        builder.append(MiB, 1);
        builder.set_block(2, entry);
        expect_refused(builder, words);
        expect_refused(builder, "BAT entry 2 (block 2)");
    }
}

TEST(VhdxHostile, parent_locators) {
    for (auto [within, value] : std::vector<std::pair<uint64_t, uint8_t>>{{0, 0xff}, {18, 0xff}, {19, 0x01}, {23, 0x7f}, {27, 0x7f}, {28, 0x01}}) {
        SCOPED_TRACE(within);
        B builder({.locator = {{u"parent_linkage", B::data_write_text}, {u"relative_path", u"parent.vhdx"}}});
        builder.poke<uint8_t>(B::items_offset + 40 + within, value);
        expect_refused(builder, "parent locator");
    }
    B none({.flags = has_parent});
    expect_refused(none, "parent locator is missing");
}

}  // namespace hyper::test
