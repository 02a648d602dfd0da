// SPDX-License-Identifier: Apache-2.0
// The views, read by everybody else's readers, by our own, and by the checker.
#include "convert/view.h"

#include <algorithm>

#include "convert/check.h"
#include "convert/image.h"
#include "tests/support/support.h"

namespace hyper {
namespace {

using namespace test;

Result<std::shared_ptr<const Source>> make_view(std::shared_ptr<const Source> disk, std::string_view subformat,
                                                int64_t time_s = 1700000000) {
    const ViewKind* kind = TRY(find_view_kind(Format::vhd, subformat));
    return open_view(*kind, {.disk = std::move(disk),
                             .identity = {{std::byte{5}}, time_s},
                             .file_name = "disk.vhd",
                             .engine = &engine()});
}

void expect_clean(const Source& view) {
    auto report = check_image(engine(), view, Format::vhd);
    ASSERT_TRUE(report) << report.error().message;
    for (const Finding& finding : report->findings()) ADD_FAILURE() << finding.field << ": " << finding.message;
}

// Content and size.
void expect_equal_in_qemu(const std::string& raw, const std::string& image) {
    CommandResult result = run("qemu-img compare -f raw -F vpc " + raw + " " + image);
    EXPECT_EQ(result.status, 0) << result.output;
    EXPECT_EQ(result.output, "Images are identical.\n");
}

struct Case {
    AwkwardDisk disk;
    std::string subformat;
};
void PrintTo(const Case& it, std::ostream* out) { *out << it.disk.name; }

// All awkward disks but the one that is too large, as files on a scratch folder.
class VhdView : public ::testing::TestWithParam<Case> {
  protected:
    void SetUp() override {
        disk_ = pattern(GetParam().disk.size_bytes, GetParam().disk.runs);
        auto view = make_view(disk_, GetParam().subformat);
        ASSERT_TRUE(view) << view.error().message;
        view_ = *view;
        write_sparse(*view_, image());
        PaddedSource padded(disk_, round_up(disk_->size_bytes(), sector_bytes));
        write_sparse(padded, raw());
    }
    std::string image() { return scratch_.path("disk.vhd"); }
    std::string raw() { return scratch_.path("disk.raw"); }

    ScratchDir scratch_;
    std::shared_ptr<const Source> disk_, view_;
};

TEST_P(VhdView, compares_equal_in_qemu_img) {
    expect_equal_in_qemu(raw(), image());
}

TEST_P(VhdView, passes_7zip) {
    must_run(seven_zip + " t -tvhd " + image());
    must_run(seven_zip + " x -tvhd -so " + image() + " 2>/dev/null | cmp - " + raw());
}

TEST_P(VhdView, reads_the_same_in_libvhdi) {
    must_run(R"(/usr/bin/python3 -c '
import pyvhdi, sys
image = pyvhdi.file()
image.open(sys.argv[1])
size = image.get_media_size()
with open(sys.argv[2], "rb") as raw:
    while part := raw.read(1 << 20):
        if image.read(len(part)) != part: sys.exit("differs before byte %d" % raw.tell())
    if raw.tell() != size: sys.exit("size %d is not %d" % (size, raw.tell()))
' )" + image() + " " + raw());
}

TEST_P(VhdView, passes_our_checker) { expect_clean(*view_); }

TEST_P(VhdView, reads_back_the_same) {
    auto image = open_image(engine(), scratch_.path("disk.vhd"));
    ASSERT_TRUE(image) << image.error().message;
    EXPECT_TRUE((*image)->info().warnings.empty());
    EXPECT_EQ((*image)->size_bytes(), round_up(disk_->size_bytes(), sector_bytes));
    EXPECT_EQ((*image)->info().subformat, GetParam().subformat);
    expect_same_content(*disk_, **image);
}

TEST_P(VhdView, reads_the_same_in_pieces) { expect_consistent_reads(*view_, 11); }

TEST_P(VhdView, is_the_same_when_made_again) {
    auto again = make_view(disk_, GetParam().subformat);
    ASSERT_TRUE(again);
    EXPECT_EQ(read_all(*view_), read_all(**again));
}

std::vector<Case> cases() {
    std::vector<Case> all;
    for (const AwkwardDisk& disk : awkward_disks())
        for (std::string subformat : {"dynamic", "fixed"})
            if (disk.size_bytes <= GiB) all.push_back({disk, subformat});
    return all;
}

INSTANTIATE_TEST_SUITE_P(of, VhdView, ::testing::ValuesIn(cases()), [](const auto& test) {
    std::string name = test.param.subformat + "_" + test.param.disk.name;
    std::ranges::replace(name, '-', '_');
    return name;
});

TEST(VhdViews, of_the_largest_disk_is_read_by_qemu_and_7zip) {
    constexpr uint64_t size = 2040 * GiB;
    auto disk = pattern(size, {{0, 4096}, {TiB + 512, 70000}, {size - 4096, 4096}});
    auto view = make_view(disk, "dynamic");
    ASSERT_TRUE(view) << view.error().message;
    expect_clean(**view);
    ScratchDir scratch;
    write_sparse(**view, scratch.path("disk.vhd"));
    write_sparse(*disk, scratch.path("disk.raw"));
    expect_equal_in_qemu(scratch.path("disk.raw"), scratch.path("disk.vhd"));
    must_run(seven_zip + " l -tvhd " + scratch.path("disk.vhd") + " | grep -q " + std::to_string(size));
    auto image = open_image(engine(), scratch.path("disk.vhd"));
    ASSERT_TRUE(image) << image.error().message;
    expect_same_content(*disk, **image);
}

TEST(VhdViews, of_a_full_disk_of_the_largest_size_keep_block_numbers_within_32_bits) {
    auto disk = pattern(2040 * GiB, {{0, 2040 * GiB}});
    auto view = make_view(disk, "dynamic");
    ASSERT_TRUE(view) << view.error().message;
    // The last block's table entry, and the last byte of data through our own eyes.
    std::vector<std::byte> entry(4), data(16), expected(16);
    uint64_t last = 2040 * GiB / (2 * MiB) - 1;
    ASSERT_TRUE(engine().read(**view, 1536 + last * 4, entry));
    uint64_t place = load_be<uint32_t>(entry.data()) * sector_bytes;
    EXPECT_EQ(place + 512 + 2 * MiB + 512, (*view)->size_bytes());
    ASSERT_TRUE(engine().read(**view, place + 512 + 2 * MiB - 16, data));
    ASSERT_TRUE(engine().read(*disk, 2040 * GiB - 16, expected));
    EXPECT_EQ(data, expected);
}

TEST(VhdViews, of_a_disk_over_2040_gib_are_refused_with_the_reason) {
    for (uint64_t size : {2040 * GiB + 512, 5 * TiB}) {
        for (const char* subformat : {"dynamic", "fixed"}) {
            auto view = make_view(pattern(size, {}), subformat);
            ASSERT_FALSE(view);
            EXPECT_EQ(view.error().code, EFBIG);
            EXPECT_NE(view.error().message.find("2040 GiB"), std::string::npos) << view.error().message;
        }
    }
}

TEST(VhdViews, store_no_block_that_is_a_hole) {
    auto view = make_view(pattern(GiB, {{100 * MiB + 5, 1}, {500 * MiB, 2 * MiB}}), "dynamic");
    ASSERT_TRUE(view);
    EXPECT_EQ((*view)->size_bytes(), 1536 + 2048 + 2 * (512 + 2 * MiB) + 512);
}

TEST(VhdViews, clamp_times_before_2000_and_after_2136) {
    for (auto [time_s, stored] : {std::pair<int64_t, uint32_t>{0, 0}, {946684800 + 77, 77}, {int64_t{1} << 40, ~0u}}) {
        auto view = make_view(pattern(MiB, {}), "fixed", time_s);
        ASSERT_TRUE(view);
        std::byte field[4];
        ASSERT_TRUE(engine().read(**view, MiB + 24, field));
        EXPECT_EQ(load_be<uint32_t>(field), stored);
        expect_clean(**view);
    }
}

}  // namespace
}  // namespace hyper
