// SPDX-License-Identifier: Apache-2.0
// The reader, against qemu-img where that can write what is read, and against made images for the rest.
#include "convert/vhd/vhd.h"

#include "tests/support/support.h"
#include "tests/vhd/make_vhd.h"

namespace hyper {
namespace {

using namespace test;

constexpr vhd::UniqueId parent_id{std::byte{0x77}, std::byte{0x88}};
constexpr vhd::Tag relative{'W', '2', 'r', 'u'}, absolute{'W', '2', 'k', 'u'};

Result<std::shared_ptr<const Image>> open_bytes(std::span<const std::byte> bytes) {
    auto file = File::from_bytes(bytes, "/nonexistent/made.vhd", engine().io());
    OpenOptions options;
    return Opening(engine(), options).open(TRY(std::move(file)), Format::vhd);
}

// Expects that the image is refused with all of these words in the message.
void expect_refused(std::span<const std::byte> bytes, int code, std::initializer_list<std::string> words) {
    auto image = open_bytes(bytes);
    ASSERT_FALSE(image);
    EXPECT_EQ(image.error().code, code) << image.error().message;
    for (const std::string& word : words)
        EXPECT_NE(image.error().message.find(word), std::string::npos) << image.error().message;
}

Bytes made_with_two_blocks() {
    return MadeVhd{.blocks = {{0, {std::byte{0xaa}}}, {1, {std::byte{0xbb}}}}}.bytes();
}

// The byte at the start of each sector.
std::byte sector_byte(const Source& disk, uint64_t sector) {
    std::byte byte{};
    auto result = engine().read(disk, sector * sector_bytes, {&byte, 1});
    EXPECT_TRUE(result) << (result ? "" : result.error().message);
    return byte;
}

// --- what qemu-img writes ---

void expect_reads_what_qemu_writes(const std::string& options, const std::string& subformat) {
    ScratchDir scratch;
    auto disk = pattern(37 * MiB + 512, random_runs(37 * MiB, 4 * KiB, 0.3, 5));
    write_sparse(*disk, scratch.path("disk.raw"));
    must_run("cd " + scratch.dir().string() + " && qemu-img convert -f raw -O vpc -o " + options +
             " disk.raw disk.vhd && qemu-img convert -f vpc -O raw disk.vhd again.raw");
    auto image = open_image(engine(), scratch.path("disk.vhd"));
    ASSERT_TRUE(image) << image.error().message;
    EXPECT_EQ((*image)->info().subformat, subformat);
    EXPECT_TRUE((*image)->info().warnings.empty());
    auto again = File::open(scratch.path("again.raw"), engine().io());
    ASSERT_TRUE(again);
    EXPECT_EQ((*image)->size_bytes(), (*again)->size_bytes());
    expect_same_content(*disk, **image);
    expect_consistent_reads(**image, 3);
}

TEST(Vhd, reads_dynamic_of_qemu_img) { expect_reads_what_qemu_writes("subformat=dynamic", "dynamic"); }
TEST(Vhd, reads_fixed_of_qemu_img) { expect_reads_what_qemu_writes("subformat=fixed", "fixed"); }
TEST(Vhd, reads_dynamic_of_qemu_img_with_force_size) {
    expect_reads_what_qemu_writes("subformat=dynamic,force_size=on", "dynamic");
}
TEST(Vhd, reads_fixed_of_qemu_img_with_force_size) {
    expect_reads_what_qemu_writes("subformat=fixed,force_size=on", "fixed");
}

TEST(Vhd, maps_absent_blocks_as_zero) {
    auto image = open_bytes(MadeVhd{.disk_size = 64 * MiB, .blocks = {{30, {std::byte{1}}}}}.bytes());
    ASSERT_TRUE(image) << image.error().message;
    std::vector<Extent> extents;
    ASSERT_TRUE(visit_extents(**image, 0, 64 * MiB, [&](const Extent& extent) {
        extents.push_back(extent);
        return true;
    }));
    ASSERT_EQ(extents.size(), 3u);
    EXPECT_TRUE(extents[0].zero);
    EXPECT_EQ(extents[1].offset, 60 * MiB);
    EXPECT_EQ(extents[1].length, 2 * MiB);
    EXPECT_FALSE(extents[1].zero);
}

// --- sizes ---

uint64_t size_with(vhd::Tag creator, bool& warned) {
    auto made = MadeVhd{.creator = creator}.bytes();
    auto image = open_bytes(made);
    EXPECT_TRUE(image) << image.error().message;
    warned = image && !(*image)->info().warnings.empty();
    return image ? (*image)->size_bytes() : 0;
}

TEST(Vhd, takes_the_size_that_the_creator_means) {
    constexpr uint64_t by_geometry = 4 * MiB / 512 / 68 * 68 * 512;
    static_assert(by_geometry != 4 * MiB);
    bool warned;
    for (vhd::Tag creator : {vhd::Tag{'v', 'p', 'c', ' '}, vhd::Tag{'q', 'e', 'm', 'u'}}) {
        EXPECT_EQ(size_with(creator, warned), by_geometry);
        EXPECT_FALSE(warned);
    }
    for (vhd::Tag creator : {vhd::Tag{'w', 'i', 'n', ' '}, vhd::Tag{'q', 'e', 'm', '2'}, vhd::Tag{'d', '2', 'v', ' '},
                             vhd::Tag{'t', 'a', 'p', 0}, vhd::Tag{'C', 'T', 'X', 'S'}, vhd::Tag{'w', 'a', 0, 0}}) {
        EXPECT_EQ(size_with(creator, warned), 4 * MiB);
        EXPECT_FALSE(warned);
    }
}

TEST(Vhd, warns_when_an_unknown_creator_leaves_the_size_open) {
    bool warned;
    EXPECT_EQ(size_with({'x', 'm', 'n', 't'}, warned), 4 * MiB);
    EXPECT_TRUE(warned);
}

TEST(Vhd, takes_the_current_size_for_the_largest_geometry) {
    auto made = MadeVhd{.creator = {'v', 'p', 'c', ' '}}.bytes();
    for (vhd::Footer* footer : {&front_footer(made), &end_footer(made)}) footer->geometry = {65535, 16, 255};
    seal(made);
    auto image = open_bytes(made);
    ASSERT_TRUE(image) << image.error().message;
    EXPECT_EQ((*image)->size_bytes(), 4 * MiB);
}

TEST(Vhd, reads_a_fixed_disk_that_is_no_whole_number_of_sectors) {
    auto made = MadeVhd{}.bytes();
    vhd::Footer footer = end_footer(made);
    footer.disk_type = vhd::type_fixed;
    footer.data_offset = vhd::no_offset;
    footer.current_size = 1000;
    seal_one(footer);
    Bytes image(1000, std::byte{7});
    image.resize(1000 + sizeof footer);
    end_footer(image) = footer;
    auto opened = open_bytes(image);
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_EQ(read_all(**opened), Bytes(1000, std::byte{7}));
}

// --- sector bitmaps ---

TEST(Vhd, reads_zero_where_the_bitmap_of_a_dynamic_block_is_zero) {
    for (uint64_t period : {2, 3, 8, 100}) {
        auto has_sector = [&](uint64_t sector) { return sector % period == 1; };
        auto image = open_bytes(MadeVhd{.blocks = {{1, {std::byte{0xcc}, has_sector}}}}.bytes());
        ASSERT_TRUE(image) << image.error().message;
        for (uint64_t sector = 0; sector < 4096; ++sector)
            ASSERT_EQ(sector_byte(**image, 4096 + sector), has_sector(sector) ? std::byte{0xcc} : std::byte{0})
                << sector;
        expect_consistent_reads(**image, period);
    }
}

// --- differencing ---

class VhdChain : public ::testing::Test {
  protected:
    // A parent whose block 0 is 0x50, and a child with every second sector of block 0.
    void SetUp() override {
        parent_ = {.blocks = {{0, {std::byte{0x50}}}, {1, {std::byte{0x51}}}}, .unique_id = parent_id};
        child_ = {.blocks = {{0, {std::byte{0xc0}, [](uint64_t sector) { return sector % 2 == 1; }}}},
                  .parent_id = parent_id};
    }
    Result<std::shared_ptr<const Image>> open_child() {
        write_file(scratch_.path("parent.vhd"), parent_.bytes());
        write_file(scratch_.path("child.vhd"), child_.bytes());
        return open_image(engine(), scratch_.path("child.vhd"));
    }
    void expect_child_reads_over_parent() {
        auto image = open_child();
        ASSERT_TRUE(image) << image.error().message;
        EXPECT_EQ((*image)->info().subformat, "differencing");
        EXPECT_EQ(sector_byte(**image, 0), std::byte{0x50});
        EXPECT_EQ(sector_byte(**image, 1), std::byte{0xc0});
        EXPECT_EQ(sector_byte(**image, 4096), std::byte{0x51});
    }
    void expect_child_refused(int code, std::initializer_list<std::string> words) {
        auto image = open_child();
        ASSERT_FALSE(image);
        EXPECT_EQ(image.error().code, code) << image.error().message;
        for (const std::string& word : words)
            EXPECT_NE(image.error().message.find(word), std::string::npos) << image.error().message;
    }

    ScratchDir scratch_;
    MadeVhd parent_, child_;
};

TEST_F(VhdChain, finds_the_parent_by_its_relative_locator) {
    child_.locators = {{absolute, u"C:\\vms\\nowhere.vhd"}, {relative, u".\\parent.vhd"}};
    expect_child_reads_over_parent();
    auto image = open_child();
    ASSERT_TRUE(image);
    EXPECT_TRUE((*image)->info().warnings.empty());
    ASSERT_TRUE((*image)->parent());
    EXPECT_EQ((*image)->parent()->path(), scratch_.path("parent.vhd"));
    expect_consistent_reads(**image, 1);
}

TEST_F(VhdChain, finds_the_parent_by_an_absolute_locator_within_the_folder) {
    std::string path = scratch_.path("parent.vhd");
    child_.locators = {{relative, u".\\missing.vhd"}, {absolute, std::u16string(path.begin(), path.end())}};
    expect_child_reads_over_parent();
}

TEST_F(VhdChain, finds_the_parent_of_another_drive_beside_the_child) {
    child_.locators = {{absolute, u"C:\\vms\\parent.vhd"}};
    expect_child_reads_over_parent();
}

TEST_F(VhdChain, finds_the_parent_by_the_name_in_the_header) {
    child_.parent_name = u"parent.vhd";
    expect_child_reads_over_parent();
}

TEST_F(VhdChain, reads_zero_beyond_the_end_of_a_smaller_parent) {
    parent_.disk_size = 2 * MiB + 512;
    child_.locators = {{relative, u"parent.vhd"}};
    auto image = open_child();
    ASSERT_TRUE(image) << image.error().message;
    EXPECT_EQ(sector_byte(**image, 4096), std::byte{0x51});
    EXPECT_EQ(sector_byte(**image, 4097), std::byte{0});
}

TEST_F(VhdChain, reads_through_a_chain_of_three) {
    child_.unique_id = {std::byte{0x99}};
    child_.locators = {{relative, u"parent.vhd"}};
    write_file(scratch_.path("grandchild.vhd"),
               MadeVhd{.blocks = {{1, {std::byte{0xee}, [](uint64_t sector) { return sector == 7; }}}},
                       .parent_id = child_.unique_id,
                       .locators = {{relative, u".\\child.vhd"}}}
                   .bytes());
    ASSERT_TRUE(open_child());
    auto image = open_image(engine(), scratch_.path("grandchild.vhd"));
    ASSERT_TRUE(image) << image.error().message;
    EXPECT_EQ(sector_byte(**image, 0), std::byte{0x50});
    EXPECT_EQ(sector_byte(**image, 1), std::byte{0xc0});
    EXPECT_EQ(sector_byte(**image, 4096 + 6), std::byte{0x51});
    EXPECT_EQ(sector_byte(**image, 4096 + 7), std::byte{0xee});
    expect_consistent_reads(**image, 2);
}

TEST_F(VhdChain, tells_which_layer_provides_what) {
    parent_.disk_size = child_.disk_size = 6 * MiB;
    child_.blocks[0].has_sector = [](uint64_t sector) { return sector == 1; };
    child_.parent_name = u"parent.vhd";
    auto image = open_child();
    ASSERT_TRUE(image) << image.error().message;
    using Layers = std::vector<std::pair<uint64_t, uint32_t>>;
    EXPECT_EQ(layers(**image), (Layers{{512, 2}, {512, 1}, {4 * MiB - 1024, 2}, {2 * MiB, 0}}));
}

TEST_F(VhdChain, has_an_identity_that_covers_the_parent) {
    child_.locators = {{relative, u"parent.vhd"}};
    auto before = open_child();
    parent_.disk_size = 6 * MiB;
    auto after = open_child();
    ASSERT_TRUE(before && after);
    write_file(scratch_.path("alone.vhd"), child_.bytes());
    EXPECT_NE((*before)->identity().digest, (*after)->identity().digest);
}

TEST_F(VhdChain, refuses_a_parent_with_another_unique_id) {
    child_.locators = {{relative, u"parent.vhd"}};
    parent_.unique_id = {std::byte{0x12}};
    expect_child_refused(EINVAL, {"parent unique id", "77880000-", "12000000-"});
}

TEST_F(VhdChain, warns_of_a_parent_with_another_timestamp) {
    child_.locators = {{relative, u"parent.vhd"}};
    child_.parent_timestamp = 1001;
    auto image = open_child();
    ASSERT_TRUE(image) << image.error().message;
    ASSERT_EQ((*image)->info().warnings.size(), 1u);
    EXPECT_NE((*image)->info().warnings[0].find("parent timestamp 1001"), std::string::npos);
}

TEST_F(VhdChain, refuses_a_missing_parent) {
    child_.locators = {{relative, u".\\missing.vhd"}};
    expect_child_refused(ENOENT, {"child.vhd", "parent locator 0 (W2ru)", "missing.vhd"});
}

TEST_F(VhdChain, refuses_to_be_without_a_parent_name) { expect_child_refused(EINVAL, {"names no parent"}); }

TEST_F(VhdChain, refuses_a_parent_outside_of_its_folder) {
    child_.locators = {{relative, u"..\\..\\..\\..\\etc\\shadow"}};
    expect_child_refused(EPERM, {"parent locator 0 (W2ru)", "etc/shadow"});
    child_.locators = {{absolute, u"/etc/shadow"}};
    expect_child_refused(EPERM, {"parent locator 0 (W2ku)", "/etc/shadow"});
    child_.locators = {};
    child_.parent_name = u"nbd://host/parent";
    expect_child_refused(EPERM, {"parent unicode name", "nbd://host/parent"});
}

TEST_F(VhdChain, refuses_to_be_its_own_ancestor) {
    child_.locators = {{relative, u"child.vhd"}};
    expect_child_refused(ELOOP, {"loops"});
    child_.locators = {{relative, u"parent.vhd"}};
    parent_.parent_id = parent_id;
    parent_.locators = {{relative, u"child.vhd"}, {absolute, u"child.vhd"}};
    expect_child_refused(ELOOP, {"loops"});
}

TEST_F(VhdChain, gives_up_on_a_long_chain_after_one_attempt_a_link) {
    // Each link names its parent three times. Were each tried in turn, this would take 3^63 opens.
    parent_.parent_id = parent_id;
    for (int i = 0; i < 63; ++i) {
        std::string next = "link" + std::to_string(i + 1) + ".vhd";
        std::u16string name(next.begin(), next.end());
        MadeVhd link{.disk_size = 512, .unique_id = parent_id, .parent_id = parent_id, .parent_name = name,
                     .locators = {{relative, name}, {absolute, name}}};
        write_file(scratch_.path("link" + std::to_string(i) + ".vhd"), link.bytes());
    }
    auto image = open_image(engine(), scratch_.path("link0.vhd"));
    ASSERT_FALSE(image);
    EXPECT_EQ(image.error().code, ENOENT) << image.error().message;
}

TEST_F(VhdChain, refuses_a_locator_that_leads_out_of_the_file) {
    child_.locators = {{relative, u"parent.vhd"}};
    auto made = child_.bytes();
    header_of(made).parent_locators[0].data_offset = ~uint64_t{0} - 3;
    seal(made);
    expect_refused(made, EINVAL, {"parent locator 0 (W2ru)", "data offset"});
    header_of(made).parent_locators[0].data_length = 0x7fffffff;
    seal(made);
    expect_refused(made, EINVAL, {"parent locator 0 (W2ru)", "data length 2147483647"});
}

TEST_F(VhdChain, refuses_a_name_that_is_not_utf16) {
    child_.locators = {{relative, std::u16string(1, char16_t{0xd800}) + u"x"}};
    expect_child_refused(EINVAL, {"names no parent"});
}

// --- damage ---

TEST(VhdDamage, of_the_last_footer_is_mended_by_the_copy_with_a_warning) {
    auto made = made_with_two_blocks();
    made[made.size() - 20] ^= std::byte{1};
    auto image = open_bytes(made);
    ASSERT_TRUE(image) << image.error().message;
    ASSERT_EQ((*image)->info().warnings.size(), 1u);
    EXPECT_EQ(sector_byte(**image, 4096), std::byte{0xbb});
}

TEST(VhdDamage, of_the_footer_copy_is_a_warning) {
    auto made = made_with_two_blocks();
    made[100] ^= std::byte{1};
    auto image = open_bytes(made);
    ASSERT_TRUE(image) << image.error().message;
    EXPECT_EQ((*image)->info().warnings.size(), 1u);
}

TEST(VhdDamage, of_both_footers_is_refused) {
    auto made = made_with_two_blocks();
    made[100] ^= std::byte{1};
    made[made.size() - 20] ^= std::byte{1};
    expect_refused(made, EINVAL, {"/nonexistent/made.vhd", "footer at the end: checksum"});
}

TEST(VhdDamage, footers_that_differ_are_refused) {
    auto made = made_with_two_blocks();
    front_footer(made).current_size = 3 * MiB;
    seal(made);
    expect_refused(made, EINVAL, {"the footer at the end and its copy"});
}

TEST(VhdDamage, truncation_is_refused) {
    auto made = made_with_two_blocks();
    for (size_t size : {size_t{0}, size_t{1}, size_t{511}, size_t{512}, size_t{1000}, size_t{1535}, size_t{1540},
                        size_t{4096}, made.size() / 2, made.size() - 1024}) {
        SCOPED_TRACE(size);
        expect_refused(std::span(made).first(size), EINVAL, {"made.vhd"});
    }
}

TEST(VhdDamage, of_the_dynamic_header_is_refused) {
    auto made = made_with_two_blocks();
    made[made_header_at + 30] ^= std::byte{1};
    expect_refused(made, EINVAL, {"dynamic header: checksum"});
}

TEST(VhdDamage, a_huge_table_is_refused) {
    auto made = made_with_two_blocks();
    header_of(made).max_table_entries = ~uint32_t{0};
    seal(made);
    expect_refused(made, EINVAL, {"table offset", "4294967295"});
    for (vhd::Footer* footer : {&front_footer(made), &end_footer(made)}) footer->current_size = 64 * TiB;
    seal(made);
    expect_refused(made, EFBIG, {"block allocation table of 134217728 bytes"});
    for (vhd::Footer* footer : {&front_footer(made), &end_footer(made)}) footer->current_size = ~uint64_t{0};
    seal(made);
    expect_refused(made, EFBIG, {"current size 18446744073709551615"});
}

TEST(VhdDamage, a_table_that_is_too_short_is_refused) {
    auto made = made_with_two_blocks();
    header_of(made).max_table_entries = 1;
    seal(made);
    expect_refused(made, EINVAL, {"max table entries 1"});
}

TEST(VhdDamage, a_block_size_that_is_no_power_of_two_is_refused) {
    for (uint32_t size : {0u, 1u, 256u, 513u, 3u << 20, ~0u}) {
        auto made = made_with_two_blocks();
        header_of(made).block_size = size;
        seal(made);
        expect_refused(made, EINVAL, {"block size " + std::to_string(size)});
    }
}

TEST(VhdDamage, a_table_over_the_headers_is_refused) {
    for (uint64_t offset : {uint64_t{0}, uint64_t{511}, uint64_t{512}, uint64_t{1535}}) {
        auto made = made_with_two_blocks();
        header_of(made).table_offset = offset;
        seal(made);
        expect_refused(made, EINVAL, {"table offset " + std::to_string(offset), "over the headers"});
    }
    auto made = made_with_two_blocks();
    header_of(made).table_offset = ~uint64_t{0} - 3;
    seal(made);
    expect_refused(made, EINVAL, {"table offset", "past the end"});
}

TEST(VhdDamage, a_header_that_lies_nowhere_is_refused) {
    for (uint64_t offset : {uint64_t{0}, uint64_t{511}, uint64_t{1} << 40, ~uint64_t{0}}) {
        auto made = made_with_two_blocks();
        front_footer(made).data_offset = end_footer(made).data_offset = offset;
        seal(made);
        expect_refused(made, EINVAL, {"data offset " + std::to_string(offset)});
    }
}

TEST(VhdDamage, a_block_past_the_end_or_over_the_headers_is_refused) {
    auto made = made_with_two_blocks();
    for (uint32_t entry : {0xfffffffeu, table_entry(made, 1) + 1u}) {
        table_entry(made, 1) = entry;
        expect_refused(made, EINVAL, {"BAT entry 1", "past the end"});
    }
    for (uint32_t entry : {0u, 1u, 2u, 3u}) {
        table_entry(made, 1) = entry;
        expect_refused(made, EINVAL, {"BAT entry 1", "over the headers or the table"});
    }
}

TEST(VhdDamage, blocks_that_overlap_are_refused) {
    auto made = made_with_two_blocks();
    uint32_t first = table_entry(made, 0);
    for (uint32_t entry : {first, first + 1, first + 4096}) {
        table_entry(made, 1) = entry;
        expect_refused(made, EINVAL, {"BAT", "overlap"});
    }
}

TEST(VhdDamage, a_fixed_disk_larger_than_its_file_is_refused) {
    auto made = MadeVhd{}.bytes();
    end_footer(made).disk_type = vhd::type_fixed;
    seal(made);
    expect_refused(made, EINVAL, {"a fixed disk of 4194304 bytes"});
}

TEST(VhdDamage, an_unknown_type_or_version_is_refused_by_name) {
    auto made = made_with_two_blocks();
    front_footer(made).disk_type = end_footer(made).disk_type = 5;
    seal(made);
    expect_refused(made, ENOTSUP, {"disk type 5"});
    made = made_with_two_blocks();
    front_footer(made).version = end_footer(made).version = 0x20000;
    seal(made);
    expect_refused(made, ENOTSUP, {"version 0x20000"});
}

}  // namespace
}  // namespace hyper
