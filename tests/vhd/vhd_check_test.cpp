// SPDX-License-Identifier: Apache-2.0
// The checker finds each fault that was put into a good image, and nothing in a good one.
#include "convert/check.h"

#include "tests/support/support.h"
#include "tests/vhd/make_vhd.h"

namespace hyper {
namespace {

using namespace test;

CheckReport check_bytes(std::span<const std::byte> bytes) {
    auto file = File::from_bytes(bytes, "made.vhd", engine().io());
    EXPECT_TRUE(file);
    auto report = check_image(engine(), FileSource(*file), Format::vhd);
    EXPECT_TRUE(report) << (report ? "" : report.error().message);
    return report ? *report : CheckReport{};
}

std::string all_findings(const CheckReport& report) {
    std::string text;
    for (const Finding& finding : report.findings()) text += finding.field + ": " + finding.message + "\n";
    return text;
}

void expect_finding(const Bytes& image, Finding::Severity severity, const std::string& field,
                    const std::string& words = "") {
    CheckReport report = check_bytes(image);
    for (const Finding& finding : report.findings())
        if (finding.severity == severity && finding.field == field && finding.message.find(words) != std::string::npos)
            return;
    ADD_FAILURE() << "no finding in \"" << field << "\" with \"" << words << "\" among:\n" << all_findings(report);
}

void expect_error(const Bytes& image, const std::string& field, const std::string& words = "") {
    expect_finding(image, Finding::Severity::error, field, words);
}
void expect_warning(const Bytes& image, const std::string& field, const std::string& words = "") {
    EXPECT_EQ(check_bytes(image).error_count(), 0u) << all_findings(check_bytes(image));
    expect_finding(image, Finding::Severity::warning, field, words);
}

Bytes good() { return MadeVhd{.blocks = {{0, {std::byte{0xaa}}}, {1, {std::byte{0xbb}}}}}.bytes(); }

Bytes good_child() {
    return MadeVhd{.blocks = {{0, {std::byte{0xaa}, [](uint64_t sector) { return sector == 3; }}}},
                   .parent_id = vhd::UniqueId{std::byte{0x77}},
                   .parent_name = u"parent.vhd",
                   .locators = {{{'W', '2', 'r', 'u'}, u".\\parent.vhd"}}}
        .bytes();
}

// A good image with one change to both footers, or to the dynamic header.
template <class Change>
Bytes with_footer(Change change) {
    Bytes image = good();
    change(front_footer(image));
    change(end_footer(image));
    seal(image);
    return image;
}
template <class Change>
Bytes with_header(Change change, Bytes image = good()) {
    change(header_of(image));
    seal(image);
    return image;
}

using vhd::DynamicHeader;
using vhd::Footer;

TEST(VhdCheck, finds_nothing_in_good_images) {
    for (const Bytes& image : {good(), good_child(), MadeVhd{}.bytes()}) {
        CheckReport report = check_bytes(image);
        EXPECT_EQ(all_findings(report), "");
    }
    EXPECT_EQ(check_bytes(good()).virtual_bytes, 4 * MiB);
    EXPECT_EQ(check_bytes(good_child()).allocated_bytes, 2 * MiB);
}

TEST(VhdCheck, finds_nothing_in_what_qemu_img_makes) {
    for (std::string options : {"subformat=dynamic", "subformat=fixed", "subformat=dynamic,force_size=on",
                                "subformat=fixed,force_size=on"}) {
        ScratchDir scratch;
        auto disk = pattern(9 * MiB, {{3 * MiB, 5000}});
        write_sparse(*disk, scratch.path("disk.raw"));
        must_run("qemu-img convert -f raw -O vpc -o " + options + " " + scratch.path("disk.raw") + " " +
                 scratch.path("disk.vhd"));
        CheckReport report = check_bytes(read_file(scratch.path("disk.vhd")));
        EXPECT_EQ(all_findings(report), "") << options;
    }
}

TEST(VhdCheck, finds_a_bad_checksum_of_the_footer_copy) {
    Bytes image = good();
    front_footer(image).checksum = 1;
    expect_error(image, "footer copy at the front: checksum");
}

TEST(VhdCheck, finds_a_bad_checksum_of_the_footer) {
    Bytes image = good();
    end_footer(image).checksum = 1;
    expect_error(image, "footer at the end: checksum");
}

TEST(VhdCheck, finds_a_missing_footer) {
    Bytes image = good();
    image.resize(image.size() - 512);
    expect_error(image, "footer at the end: cookie");
}

TEST(VhdCheck, finds_footers_that_differ) {
    Bytes image = good();
    front_footer(image).timestamp = 5;
    seal(image);
    expect_error(image, "footer copy at the front", "differs");
}

TEST(VhdCheck, finds_a_bad_checksum_of_the_dynamic_header) {
    Bytes image = good();
    header_of(image).checksum = 1;
    expect_error(image, "dynamic header: checksum");
}

TEST(VhdCheck, finds_a_block_past_the_end_of_the_file) {
    Bytes image = good();
    table_entry(image, 1) = 0x7fffffff;
    expect_error(image, "BAT entry 1", "past the end");
}

TEST(VhdCheck, finds_a_block_over_the_header) {
    Bytes image = good();
    table_entry(image, 1) = 2;
    expect_error(image, "BAT entry 1", "overlap the dynamic header");
}

TEST(VhdCheck, finds_two_blocks_at_one_place) {
    Bytes image = good();
    table_entry(image, 1) = uint32_t{table_entry(image, 0)};
    expect_error(image, "BAT entry 1", "overlap");
}

TEST(VhdCheck, finds_blocks_that_overlap_by_a_sector) {
    Bytes image = good();
    table_entry(image, 1) = table_entry(image, 1) - 1u;
    expect_error(image, "BAT entry 1", "overlap");
}

TEST(VhdCheck, finds_a_sector_bitmap_of_zero) {
    Bytes image = good();
    std::fill_n(image.begin() + static_cast<ptrdiff_t>(table_entry(image, 1) * sector_bytes), 512, std::byte{0});
    expect_error(image, "BAT entry 1", "bitmap is all zero");
}

TEST(VhdCheck, warns_of_a_sector_bitmap_with_gaps) {
    Bytes image = good();
    image[table_entry(image, 1) * sector_bytes + 9] = std::byte{0xfe};
    expect_warning(image, "BAT entry 1", "4095 of 4096");
}

TEST(VhdCheck, finds_a_fixed_disk_of_another_size_than_its_file) {
    Bytes image = good();
    end_footer(image).disk_type = vhd::type_fixed;
    end_footer(image).data_offset = vhd::no_offset;
    seal(image);
    expect_error(image, "footer: current size", "stand before the footer");
}

TEST(VhdCheck, finds_reserved_bytes_that_are_set) {
    expect_error(with_footer([](Footer& footer) { footer.reserved[400] = std::byte{1}; }), "footer: reserved");
    expect_error(with_header([](DynamicHeader& header) { header.reserved1 = 1; }), "dynamic header: reserved");
    expect_error(with_header([](DynamicHeader& header) { header.reserved2[9] = std::byte{1}; }),
                 "dynamic header: reserved");
}

TEST(VhdCheck, finds_footer_fields_that_are_wrong) {
    expect_error(with_footer([](Footer& footer) { footer.features = 0; }), "footer: features");
    expect_error(with_footer([](Footer& footer) { footer.version = 0x10001; }), "footer: version");
    expect_error(with_footer([](Footer& footer) { footer.disk_type = 5; }), "footer: disk type");
    expect_error(with_footer([](Footer& footer) { footer.unique_id = {}; }), "footer: unique id");
    expect_error(with_footer([](Footer& footer) { footer.saved_state = 2; }), "footer: saved state");
    expect_error(with_footer([](Footer& footer) { footer.original_size = 0; }), "footer: original size");
    expect_error(with_footer([](Footer& footer) { footer.current_size = 2041 * GiB; }), "footer: current size");
    expect_error(with_footer([](Footer& footer) { footer.current_size = 4 * MiB + 1; }), "footer: current size");
    expect_error(with_footer([](Footer& footer) { footer.data_offset = 100; }), "footer: data offset");
}

TEST(VhdCheck, finds_a_geometry_that_does_not_fit_the_size) {
    expect_error(with_footer([](Footer& footer) { footer.geometry = {121, 4, 17}; }), "footer: geometry", "more than");
    expect_error(with_footer([](Footer& footer) { footer.geometry = {100, 4, 17}; }), "footer: geometry", "below");
    expect_error(with_footer([](Footer& footer) { footer.geometry = {120, 0, 17}; }), "footer: geometry");
}

TEST(VhdCheck, warns_when_readers_differ_in_the_size) {
    expect_warning(with_footer([](Footer& footer) { footer.creator_app = {'v', 'p', 'c', ' '}; }), "footer: geometry");
}

TEST(VhdCheck, finds_header_fields_that_are_wrong) {
    expect_error(with_header([](DynamicHeader& header) { header.version = 1; }), "dynamic header: version");
    expect_error(with_header([](DynamicHeader& header) { header.data_offset = 0; }), "dynamic header: data offset");
    expect_error(with_header([](DynamicHeader& header) { header.block_size = 3 * MiB; }), "dynamic header: block size");
    expect_error(with_header([](DynamicHeader& header) { header.max_table_entries = 1; }),
                 "dynamic header: max table entries");
    expect_error(with_header([](DynamicHeader& header) { header.max_table_entries = ~0u; }),
                 "dynamic header: max table entries");
    expect_error(with_header([](DynamicHeader& header) { header.table_offset = 1000; }),
                 "dynamic header: table offset");
    expect_error(with_header([](DynamicHeader& header) { header.table_offset = 1024; }, MadeVhd{}.bytes()),
                 "the block allocation table",
                 "overlap the dynamic header");
}

TEST(VhdCheck, finds_a_parent_where_there_is_none) {
    expect_error(with_header([](DynamicHeader& header) { header.parent_unique_id[3] = std::byte{1}; }),
                 "dynamic header: parent unique id");
    expect_error(with_header([](DynamicHeader& header) { header.parent_timestamp = 1; }),
                 "dynamic header: parent timestamp");
    expect_error(with_header([](DynamicHeader& header) { header.parent_name[0] = 'x'; }),
                 "dynamic header: parent unicode name");
    expect_error(with_header([](DynamicHeader& header) {
                     header.parent_locators[2].platform_code = {'W', '2', 'r', 'u'};
                 }),
                 "parent locator 2");
}

TEST(VhdCheck, finds_a_differencing_disk_without_a_parent) {
    expect_error(with_header([](DynamicHeader& header) { header.parent_unique_id = {}; }, good_child()),
                 "dynamic header: parent unique id");
    expect_error(with_header([](DynamicHeader& header) { header.parent_name = {}; }, good_child()),
                 "dynamic header: parent unicode name");
}

TEST(VhdCheck, finds_a_locator_that_leads_out_of_the_file) {
    expect_error(with_header([](DynamicHeader& header) { header.parent_locators[0].data_offset = 1 * GiB; },
                             good_child()),
                 "parent locator 0", "past the end");
    expect_error(with_header([](DynamicHeader& header) { header.parent_locators[0].data_length = 600; }, good_child()),
                 "parent locator 0", "data length 600");
}

TEST(VhdCheck, finds_a_locator_over_the_header) {
    expect_error(with_header([](DynamicHeader& header) { header.parent_locators[0].data_offset = made_header_at; },
                             good_child()),
                 "parent locator 0", "overlap");
}

}  // namespace
}  // namespace hyper
