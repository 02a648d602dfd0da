// SPDX-License-Identifier: Apache-2.0
// The reader: against qemu-img for what that writes, against built images for the rest.
#include "convert/vhdx/vhdx.h"

#include "convert/vhdx/crc32c.h"
#include "tests/support/support.h"
#include "tests/vhdx/builder.h"

namespace hyper::test {

namespace {

std::shared_ptr<const Image> must_open(const std::string& path, const OpenOptions& options = {}) {
    auto image = open_image(engine(), path, options);
    EXPECT_TRUE(image) << (image ? "" : image.error().message);
    return image ? *image : nullptr;
}

// What qemu-img converts `path` to is what we read.
void expect_as_qemu(const ScratchDir& dir, const std::string& path, uint64_t seed) {
    auto image = must_open(path);
    ASSERT_TRUE(image);
    std::string raw = dir.path("raw");
    must_run("qemu-img convert -f vhdx -O raw " + path + " " + raw);
    auto file = File::open(raw, engine().io());
    ASSERT_TRUE(file);
    EXPECT_EQ(image->size_bytes(), (*file)->size_bytes());
    expect_same_content(FileSource(*file), *image);
    expect_consistent_reads(*image, seed);
}

Error open_error(const std::string& path) {
    auto image = open_image(engine(), path);
    EXPECT_FALSE(image) << "opened";
    return image ? Error{} : image.error();
}

Bytes filled(size_t size, int value) { return Bytes(size, static_cast<std::byte>(value)); }

Bytes read_range(const Source& source, uint64_t offset, size_t length) {
    Bytes bytes(length);
    auto result = engine().read(source, offset, bytes);
    EXPECT_TRUE(result) << (result ? "" : result.error().message);
    return bytes;
}

}  // namespace

TEST(Crc32c, agrees_with_the_vectors_of_rfc_3720) {
    EXPECT_EQ(crc32c(filled(32, 0)), 0x8a9136aau);
    EXPECT_EQ(crc32c(filled(32, 0xff)), 0x62a8ab43u);
    Bytes rising(32);
    for (size_t i = 0; i < 32; ++i) rising[i] = static_cast<std::byte>(i);
    EXPECT_EQ(crc32c(rising), 0x46dd794eu);
    EXPECT_EQ(crc32c(bytes_of_text("123456789")), 0xe3069283u);
}

TEST(Crc32c, continues_over_parts_of_any_length) {
    Bytes bytes(100);
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7);
    for (size_t cut = 0; cut <= bytes.size(); ++cut)
        EXPECT_EQ(crc32c(std::span(bytes).subspan(cut), crc32c(std::span(bytes).first(cut))), crc32c(bytes));
}

TEST(Vhdx, reads_what_qemu_img_writes_at_every_block_size) {
    for (const char* size : {"1M", "2M", "8M", "16M", "64M", "256M"}) {
        SCOPED_TRACE(size);
        ScratchDir dir;
        std::string path = dir.path("disk.vhdx");
        must_run("qemu-img create -q -f vhdx -o subformat=dynamic,block_size=" + std::string(size) + " " + path + " 600M");
        must_run("qemu-io -f vhdx -c 'write -P 0x11 0 70k' -c 'write -P 0x22 3M 5M' -c 'write -P 0x33 599M 1M' " + path);
        expect_as_qemu(dir, path, 1);
    }
}

TEST(Vhdx, reads_a_fixed_image_of_qemu_img) {
    ScratchDir dir;
    std::string path = dir.path("disk.vhdx");
    must_run("qemu-img create -q -f vhdx -o subformat=fixed,block_size=8M " + path + " 21M");
    must_run("qemu-io -f vhdx -c 'write -P 0x11 5M 70k' -c 'write -P 0x33 20M 1M' " + path);
    expect_as_qemu(dir, path, 2);
    EXPECT_EQ(must_open(path)->info().subformat, "fixed");
}

TEST(Vhdx, reads_images_with_a_large_log_and_without_zero_states) {
    ScratchDir dir;
    std::string path = dir.path("disk.vhdx");
    must_run("qemu-img create -q -f vhdx -o block_state_zero=off,log_size=4M,block_size=1M " + path + " 20M");
    must_run("qemu-io -f vhdx -c 'write -P 0x11 5M 70k' -c 'write -P 0x33 19M 1M' " + path);
    expect_as_qemu(dir, path, 3);
}

TEST(Vhdx, reads_an_image_of_64_tib) {
    ScratchDir dir;
    std::string path = dir.path("disk.vhdx");
    must_run("qemu-img create -q -f vhdx -o block_size=256M " + path + " 64T");
    must_run("qemu-io -f vhdx -c 'write -P 0x44 70368744173568k 4k' " + path + " || qemu-io -f vhdx -c 'write -P 0x44 63T 4k' " + path);
    auto image = must_open(path);
    ASSERT_TRUE(image);
    EXPECT_EQ(image->size_bytes(), 64 * TiB);
    EXPECT_EQ(read_range(*image, 63 * TiB, 4096), filled(4096, 0x44));
    EXPECT_EQ(read_range(*image, 5 * TiB, 4096), filled(4096, 0));
}

TEST(Vhdx, does_not_write_to_the_image) {
    ScratchDir dir;
    VhdxBuilder builder;
    builder.add_log_entry(0, 5, 0, {{VhdxBuilder::bat_offset, filled(4096, 0)}});
    builder.mark_dirty();
    write_file(dir.path("a.vhdx"), builder.bytes);
    read_all(*must_open(dir.path("a.vhdx")));
    EXPECT_EQ(read_file(dir.path("a.vhdx")), builder.bytes);
}

TEST(Vhdx, takes_the_good_header_of_two) {
    ScratchDir dir;
    for (int bad : {0, 1}) {
        VhdxBuilder builder;
        builder.poke<uint8_t>(header_offsets[bad] + 100, 1);
        write_file(dir.path("a.vhdx"), builder.bytes);
        EXPECT_TRUE(must_open(dir.path("a.vhdx")));
    }
    VhdxBuilder both;
    for (uint64_t at : header_offsets) both.poke<uint8_t>(at + 100, 1);
    write_file(dir.path("a.vhdx"), both.bytes);
    EXPECT_NE(open_error(dir.path("a.vhdx")).message.find("neither header"), std::string::npos);
}

TEST(Vhdx, takes_the_header_with_the_higher_sequence_number) {
    ScratchDir dir;
    for (int newer : {0, 1}) {
        VhdxBuilder builder;
        builder.poke<uint64_t>(header_offsets[newer] + 8, 100);
        builder.poke<uint64_t>(header_offsets[1 - newer] + offsetof(Header, log_offset), 12345);  // would be refused
        builder.seal();
        write_file(dir.path("a.vhdx"), builder.bytes);
        EXPECT_TRUE(must_open(dir.path("a.vhdx")));
    }
}

TEST(Vhdx, accepts_two_headers_of_one_sequence_number_only_if_they_are_equal) {
    ScratchDir dir;
    VhdxBuilder builder;
    builder.poke<uint64_t>(header_offsets[0] + 8, 8);
    builder.seal();
    write_file(dir.path("a.vhdx"), builder.bytes);
    EXPECT_TRUE(must_open(dir.path("a.vhdx")));
    builder.poke<uint8_t>(header_offsets[0] + offsetof(Header, file_write_guid), 1);
    builder.seal();
    write_file(dir.path("a.vhdx"), builder.bytes);
    EXPECT_NE(open_error(dir.path("a.vhdx")).message.find("sequence number 8"), std::string::npos);
}

TEST(Vhdx, takes_either_region_table) {
    ScratchDir dir;
    VhdxBuilder builder;
    builder.poke<uint8_t>(region_table_offsets[0] + 5000, 1);
    write_file(dir.path("a.vhdx"), builder.bytes);
    EXPECT_TRUE(must_open(dir.path("a.vhdx")));
    builder.poke<uint8_t>(region_table_offsets[1] + 5000, 1);
    write_file(dir.path("a.vhdx"), builder.bytes);
    EXPECT_NE(open_error(dir.path("a.vhdx")).message.find("region tables"), std::string::npos);
}

TEST(Vhdx, reads_zeros_for_every_absent_state) {
    ScratchDir dir;
    VhdxBuilder builder;
    for (uint64_t state : {0u, 1u, 2u, 3u}) builder.set_block(state, state | 100 * MiB);
    write_file(dir.path("a.vhdx"), builder.bytes);
    auto image = must_open(dir.path("a.vhdx"));
    EXPECT_TRUE(all_zero(read_all(*image)));
    int extents = 0;
    ASSERT_TRUE(visit_extents(*image, 0, image->size_bytes(), [&](const Extent& e) { return ++extents, e.zero; }));
    EXPECT_EQ(extents, 1);
}

TEST(Vhdx, reads_4096_byte_logical_sectors) {
    ScratchDir dir;
    // Blocks of 256 MiB: a chunk of 512-byte sectors has 16 of them, one of 4096-byte sectors 128.
    VhdxBuilder builder({.virtual_bytes = 20 * 256 * MiB, .block_bytes = 256 * MiB, .logical_sector_bytes = 4096});
    uint64_t entry = builder.bytes.size() | block_fully_present;
    builder.set_bat(17, entry);
    write_file(dir.path("a.vhdx"), builder.bytes);
    std::filesystem::resize_file(dir.path("a.vhdx"), builder.bytes.size() + 256 * MiB);
    must_run("printf abcdefgh | dd of=" + dir.path("a.vhdx") + " bs=1M seek=4 conv=notrunc status=none");
    auto image = must_open(dir.path("a.vhdx"));
    EXPECT_EQ(image->info().logical_sector_bytes, 4096u);
    auto text = bytes_of_text("abcdefgh");
    EXPECT_EQ(read_range(*image, 17 * 256 * MiB, 8), Bytes(text.begin(), text.end()));
}

namespace {

// A parent of four blocks filled with 0xa0..0xa3, but block 3 absent.
void write_parent(const std::string& path, uint64_t virtual_bytes = 4 * MiB) {
    VhdxBuilder parent({.virtual_bytes = virtual_bytes});
    for (uint64_t block = 0; block < 3; ++block)
        parent.set_block(block, parent.append(MiB, static_cast<uint8_t>(0xa0 + block)));
    write_file(path, parent.bytes);
}

VhdxSpec child_of(std::u16string path, std::u16string linkage = VhdxBuilder::data_write_text) {
    return {.locator = {{u"parent_linkage", linkage}, {u"relative_path", path}}};
}

}  // namespace

TEST(Vhdx, reads_a_differencing_disk_block_by_block) {
    ScratchDir dir;
    write_parent(dir.path("parent.vhdx"));
    VhdxBuilder child(child_of(u".\\parent.vhdx"));
    child.set_block(1, child.append(MiB, 0xb1));
    child.set_block(2, block_zero);
    write_file(dir.path("child.vhdx"), child.bytes);
    auto image = must_open(dir.path("child.vhdx"));
    ASSERT_TRUE(image);
    EXPECT_EQ(read_range(*image, 0, MiB), filled(MiB, 0xa0));
    EXPECT_EQ(read_range(*image, MiB, MiB), filled(MiB, 0xb1));
    EXPECT_EQ(read_range(*image, 2 * MiB, 2 * MiB), filled(2 * MiB, 0));
    EXPECT_EQ(image->info().subformat, "differencing");
    ASSERT_TRUE(image->parent());
    expect_consistent_reads(*image, 4);
}

TEST(Vhdx, tells_which_layer_provides_what) {
    ScratchDir dir;
    write_parent(dir.path("parent.vhdx"));
    VhdxBuilder child(child_of(u"parent.vhdx"));
    child.set_block(1, child.append(MiB, 0xb1));
    child.set_block(2, block_zero);
    write_file(dir.path("child.vhdx"), child.bytes);
    auto image = must_open(dir.path("child.vhdx"));
    ASSERT_TRUE(image);
    using Layers = std::vector<std::pair<uint64_t, uint32_t>>;
    EXPECT_EQ(layers(*image), (Layers{{MiB, 2}, {2 * MiB, 1}, {MiB, 0}}));
}

TEST(Vhdx, reads_partially_present_blocks_sector_by_sector) {
    for (uint32_t sector : {512u, 4096u}) {
        SCOPED_TRACE(sector);
        ScratchDir dir;
        write_parent(dir.path("parent.vhdx"));
        VhdxSpec spec = child_of(u"parent.vhdx");
        spec.logical_sector_bytes = sector;
        VhdxBuilder child(spec);
        child.set_block(1, child.append(MiB, 0xb1, block_partially_present));
        uint64_t bitmap = child.append(MiB, 0);
        child.set_bat(child.layout().bitmap_index(0), bitmap);
        // Of block 1 sectors 3..5, 70 and the last are the child's own.
        uint64_t sectors = MiB / sector;
        std::vector<uint64_t> own{3, 4, 5, 70, sectors - 1};
        for (uint64_t s : own) {
            uint64_t bit = sectors + s;
            child.bytes[round_down(bitmap, MiB) + bit / 8] |= static_cast<std::byte>(1u << (bit % 8));
        }
        write_file(dir.path("child.vhdx"), child.bytes);
        auto image = must_open(dir.path("child.vhdx"));
        ASSERT_TRUE(image);
        Bytes expected = filled(MiB, 0xa1);
        for (uint64_t s : own) std::fill_n(expected.begin() + static_cast<ptrdiff_t>(s * sector), sector, std::byte{0xb1});
        EXPECT_EQ(read_range(*image, MiB, MiB), expected);
        expect_consistent_reads(*image, 5);
    }
}

TEST(Vhdx, reads_zeros_past_the_end_of_a_shorter_parent) {
    ScratchDir dir;
    write_parent(dir.path("parent.vhdx"), 3 * MiB);
    VhdxSpec spec = child_of(u"parent.vhdx");
    spec.virtual_bytes = 6 * MiB;
    write_file(dir.path("child.vhdx"), VhdxBuilder(spec).bytes);
    auto image = must_open(dir.path("child.vhdx"));
    EXPECT_EQ(read_range(*image, 2 * MiB, MiB), filled(MiB, 0xa2));
    EXPECT_EQ(read_range(*image, 3 * MiB, 3 * MiB), filled(3 * MiB, 0));
}

TEST(Vhdx, refuses_a_parent_whose_data_write_guid_is_another) {
    ScratchDir dir;
    write_parent(dir.path("parent.vhdx"));
    write_file(dir.path("child.vhdx"), VhdxBuilder(child_of(u"parent.vhdx", u"{00000000-0000-0000-0000-000000000001}")).bytes);
    auto message = open_error(dir.path("child.vhdx")).message;
    EXPECT_NE(message.find("{00000000-0000-0000-0000-000000000001}"), std::string::npos) << message;
    EXPECT_NE(message.find("{11223344-5566-7788-99aa-bbccddeeff00}"), std::string::npos) << message;
}

TEST(Vhdx, accepts_a_parent_by_its_second_linkage) {
    ScratchDir dir;
    write_parent(dir.path("parent.vhdx"));
    VhdxSpec spec = child_of(u"parent.vhdx", u"{00000000-0000-0000-0000-000000000001}");
    spec.locator.push_back({u"parent_linkage2", VhdxBuilder::data_write_text});
    write_file(dir.path("child.vhdx"), VhdxBuilder(spec).bytes);
    EXPECT_TRUE(must_open(dir.path("child.vhdx")));
}

TEST(Vhdx, tries_the_absolute_path_where_the_relative_one_leads_nowhere) {
    ScratchDir dir;
    write_parent(dir.path("parent.vhdx"));
    std::string path = dir.path("parent.vhdx");
    VhdxSpec spec = child_of(u"gone.vhdx");
    spec.locator.push_back({u"absolute_win32_path", std::u16string(path.begin(), path.end())});
    write_file(dir.path("child.vhdx"), VhdxBuilder(spec).bytes);
    EXPECT_TRUE(must_open(dir.path("child.vhdx")));
}

TEST(Vhdx, refuses_a_chain_that_loops) {
    ScratchDir dir;
    write_file(dir.path("a.vhdx"), VhdxBuilder(child_of(u"b.vhdx")).bytes);
    write_file(dir.path("b.vhdx"), VhdxBuilder(child_of(u"a.vhdx")).bytes);
    EXPECT_EQ(open_error(dir.path("a.vhdx")).code, ELOOP);
}

TEST(Vhdx, refuses_a_parent_outside_its_folder) {
    ScratchDir dir;
    for (const char16_t* path : {u"/etc/shadow", u"..\\..\\etc\\shadow", u"nbd://localhost/x", u"c:\\disk.vhdx"}) {
        write_file(dir.path("a.vhdx"), VhdxBuilder(child_of(path)).bytes);
        Error error = open_error(dir.path("a.vhdx"));
        EXPECT_EQ(error.code, EPERM) << error.message;
        EXPECT_NE(error.message.find("relative_path"), std::string::npos) << error.message;
    }
}

TEST(Vhdx, names_the_parent_that_is_missing) {
    ScratchDir dir;
    write_file(dir.path("a.vhdx"), VhdxBuilder(child_of(u"gone.vhdx")).bytes);
    Error error = open_error(dir.path("a.vhdx"));
    EXPECT_EQ(error.code, ENOENT);
    EXPECT_NE(error.message.find("gone.vhdx"), std::string::npos) << error.message;
}

}  // namespace hyper::test
