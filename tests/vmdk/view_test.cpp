// SPDX-License-Identifier: Apache-2.0
// The VMDK views, as other people's readers and our own see them.
#include <fmt/format.h>

#include "convert/check.h"
#include "convert/image.h"
#include "convert/view.h"
#include "tests/support/support.h"

namespace hyper {
namespace {

using namespace test;

Result<std::shared_ptr<const Source>> try_view(std::string_view subformat, std::shared_ptr<const Source> disk,
                                               const std::string& name) {
    ViewInput input;
    input.disk = std::move(disk);
    input.identity.digest[0] = std::byte{7};
    input.file_name = name;
    input.engine = &engine();
    return open_view(**find_view_kind(Format::vmdk, subformat), input);
}

std::shared_ptr<const Source> view(std::string_view subformat, std::shared_ptr<const Source> disk,
                                   const std::string& name) {
    auto made = try_view(subformat, std::move(disk), name);
    EXPECT_TRUE(made) << (made ? "" : made.error().message);
    return made ? *made : nullptr;
}

void expect_clean(const Source& file) {
    auto report = check_image(engine(), file, Format::vmdk);
    ASSERT_TRUE(report) << report.error().message;
    for (const Finding& finding : report->findings()) ADD_FAILURE() << finding.field << ": " << finding.message;
}

class AwkwardView : public testing::TestWithParam<const char*> {};

TEST_P(AwkwardView, compares_equal_in_every_reader) {
    std::string subformat = GetParam();
    for (const AwkwardDisk& awkward : awkward_disks()) {
        SCOPED_TRACE(awkward.name);
        ScratchDir dir;
        auto disk = pattern(awkward.size_bytes, awkward.runs);
        std::string name = awkward.name + ".vmdk", path = dir.path(name), raw = dir.path("disk.raw");
        auto file = view(subformat, disk, name);
        ASSERT_TRUE(file);
        expect_consistent_reads(*file, 3);
        expect_clean(*file);
        write_sparse(*file, path);
        write_sparse(PaddedSource(disk, round_up(awkward.size_bytes, 512)), raw);
        // Going over 5 TiB takes other readers minutes.
        bool huge = awkward.size_bytes > TiB;
        must_run(fmt::format("qemu-img {} {}", huge ? "info" : fmt::format("compare -f raw -F vmdk {}", raw), path));
        if (!huge) must_run(fmt::format("qemu-img check -f vmdk {}", path));
        must_run(fmt::format("vmdkinfo {}", path));
        auto image = open_image(engine(), path);
        ASSERT_TRUE(image) << image.error().message;
        EXPECT_EQ((*image)->size_bytes(), round_up(awkward.size_bytes, 512));
        EXPECT_EQ((*image)->info().subformat, subformat);
        expect_same_content(*disk, **image);
        if (huge) continue;
        must_run(fmt::format("{} t {}", seven_zip, path));
        must_run(fmt::format("{} x -so {} 2>/dev/null | cmp - {}", seven_zip, path, raw));
        must_run(fmt::format("/usr/bin/python3 -c \"\nimport pyvmdk\nh=pyvmdk.handle()\nh.open('{}')\nh.open_extent_data_files()\n"
                             "want=open('{}','rb')\nassert h.get_media_size()==want.seek(0,2)\nwant.seek(0)\n"
                             "while True:\n b=want.read(1<<20)\n if not b: break\n assert h.read_buffer(len(b))==b\n\"",
                             path, raw));
    }
}

INSTANTIATE_TEST_SUITE_P(Vmdk, AwkwardView, testing::Values("monolithicSparse", "streamOptimized"));

TEST(VmdkView, flat_descriptor_and_extent_read_as_the_disk) {
    for (const AwkwardDisk& awkward : awkward_disks()) {
        if (awkward.size_bytes > TiB) continue;
        SCOPED_TRACE(awkward.name);
        ScratchDir dir;
        auto disk = pattern(awkward.size_bytes, awkward.runs);
        std::string path = dir.path("d.monolithicFlat.vmdk"), extent = dir.path("d.monolithicFlat-flat.vmdk");
        auto text = view("monolithicFlat", disk, "d.monolithicFlat.vmdk");
        expect_clean(*text);
        write_sparse(*text, path);
        write_sparse(*view("monolithicFlat-flat", disk, "d.monolithicFlat-flat.vmdk"), extent);
        must_run(fmt::format("qemu-img compare -f raw -F vmdk {} {}", extent, path));
        auto image = open_image(engine(), path);
        ASSERT_TRUE(image) << image.error().message;
        expect_same_content(*disk, **image);
    }
}

TEST(VmdkView, is_the_same_when_opened_again) {
    auto disk = pattern(96 * MiB, random_runs(96 * MiB, 4096, 0.4, 5));
    for (const char* subformat : {"monolithicSparse", "streamOptimized", "monolithicFlat"})
        EXPECT_EQ(read_all(*view(subformat, disk, "a.vmdk")), read_all(*view(subformat, disk, "a.vmdk")));
}

TEST(VmdkView, stores_no_grain_for_holes) {
    auto disk = pattern(TiB, {{512 * GiB, 65536}});
    EXPECT_EQ(view("streamOptimized", disk, "a.vmdk")->size_bytes(),
              512u * (128 + 129 + 5 + 1 + TiB / (32 * MiB) * 4 / 512 + 3));
    auto sparse = view("monolithicSparse", disk, "a.vmdk");
    uint64_t data = 0;
    ASSERT_TRUE(visit_extents(*sparse, 0, sparse->size_bytes(), [&](const Extent& extent) {
        data += extent.zero ? 0 : extent.length;
        return true;
    }));
    EXPECT_LT(data, 512 * KiB);
}

TEST(VmdkView, holds_64_TiB_of_holes_and_refuses_64_TiB_of_data) {
    for (const char* subformat : {"monolithicSparse", "streamOptimized"}) {
        EXPECT_TRUE(view(subformat, pattern(64 * TiB, {{64 * TiB - 512, 512}}), "a.vmdk"));
        auto full = try_view(subformat, pattern(64 * TiB, {{0, 64 * TiB}}), "a.vmdk");
        ASSERT_FALSE(full);
        EXPECT_EQ(full.error().code, EFBIG);
        EXPECT_NE(full.error().message.find("2 TiB"), std::string::npos);
    }
}

TEST(VmdkView, stream_passes_the_rules_of_openstacks_inspector) {
    auto file = view("streamOptimized", pattern(70 * MiB, {{MiB, 65536}}), "web01.streamOptimized.vmdk");
    auto bytes = read_all(*file);
    std::string text(reinterpret_cast<const char*>(bytes.data() + 512), 512);
    text.resize(text.find('\0'));
    EXPECT_TRUE(text.starts_with("# Disk DescriptorFile\nversion=1\nCID="));
    EXPECT_NE(text.find("createType=\"streamOptimized\""), std::string::npos);
    EXPECT_NE(text.find("RDONLY 143360 SPARSE \"web01.streamOptimized.vmdk\"\n"), std::string::npos);
    EXPECT_TRUE(std::all_of(text.begin(), text.end(), [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); }));
    // The footer is the header, but for gdOffset.
    std::span<const std::byte> header(bytes.data(), 512), footer(bytes.data() + bytes.size() - 1024, 512);
    EXPECT_TRUE(std::equal(header.begin(), header.begin() + 56, footer.begin()));
    EXPECT_TRUE(std::equal(header.begin() + 64, header.end(), footer.begin() + 64));
    EXPECT_EQ(load_le<uint64_t>(header.data() + 56), ~uint64_t{0});
    EXPECT_TRUE(all_zero(std::span(bytes).last(512)));
}

TEST(VmdkView, a_file_name_cannot_break_the_descriptor) {
    auto bytes = read_all(*view("monolithicFlat", pattern(MiB, {}), "a\"\nRW 1 FLAT \"x.vmdk"));
    std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    EXPECT_NE(text.find("RW 2048 FLAT \"a__RW 1 FLAT _x-flat.vmdk\" 0\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace hyper
