// SPDX-License-Identifier: Apache-2.0
// The views: other people's readers take them, our checker finds nothing, and they read back equal.
#include "convert/check.h"
#include "convert/image.h"
#include "convert/view.h"
#include "tests/support/support.h"

namespace hyper::test {

namespace {

std::shared_ptr<const Source> view_of(std::shared_ptr<const Source> disk, std::string_view subformat, uint64_t block_bytes = 0) {
    auto kind = find_view_kind(Format::vhdx, subformat);
    EXPECT_TRUE(kind);
    ViewInput input{disk, Identity{{std::byte{1}}, 1700000000}, "disk.vhdx", block_bytes, &engine()};
    auto view = open_view(**kind, input);
    EXPECT_TRUE(view) << (view ? "" : view.error().message);
    return view ? *view : nullptr;
}

std::shared_ptr<const Source> disk_of(const AwkwardDisk& disk) {
    return std::make_shared<PaddedSource>(pattern(disk.size_bytes, disk.runs), round_up(disk.size_bytes, sector_bytes));
}

void expect_clean(const Source& view) {
    auto report = check_image(engine(), view, Format::vhdx);
    ASSERT_TRUE(report) << report.error().message;
    for (const Finding& finding : report->findings()) ADD_FAILURE() << finding.field << ": " << finding.message;
}

// qemu reads all of a VHDX disk to compare it, so of a large one only the surroundings of its data are compared.
void expect_qemu_compares(const std::string& raw, const std::string& vhdx, uint64_t size, const std::vector<uint64_t>& places) {
    constexpr uint64_t window = 4 * MiB;
    for (uint64_t place : places) {
        uint64_t from = std::min(place > window / 2 ? round_down(place - window / 2, sector_bytes) : 0, size - window);
        std::string part = fmt::format("driver=raw,offset={},size={}", from, window);
        must_run(fmt::format("qemu-img compare --image-opts '{0},file.driver=file,file.filename={1}' "
                             "'{0},file.driver=vhdx,file.file.driver=file,file.file.filename={2}'", part, raw, vhdx));
    }
}

void expect_clients_read(const ScratchDir& dir, const Source& disk, const Source& view, const std::vector<uint64_t>& places) {
    std::string vhdx = dir.path("disk.vhdx"), raw = dir.path("disk.raw");
    write_sparse(view, vhdx);
    write_sparse(disk, raw);
    must_run("qemu-img info -f vhdx " + vhdx);
    must_run("qemu-img check -f vhdx " + vhdx);
    auto image = open_image(engine(), vhdx);
    ASSERT_TRUE(image) << image.error().message;
    EXPECT_EQ((*image)->size_bytes(), disk.size_bytes());
    expect_same_content(disk, **image);
    expect_consistent_reads(**image, 21);
    if (disk.size_bytes() > GiB) return expect_qemu_compares(raw, vhdx, disk.size_bytes(), places);
    must_run("qemu-img compare -f raw -F vhdx " + raw + " " + vhdx);
    must_run("/usr/bin/python3 -c 'import pyvhdi, sys\n"
             "f = pyvhdi.file(); f.open(sys.argv[1]); raw = open(sys.argv[2], \"rb\"); left = f.get_media_size()\n"
             "while left > 0:\n"
             "    n = min(left, 1 << 20); ours = f.read(n); left -= n\n"
             "    assert ours == raw.read(n)\n"
             "assert raw.read(1) == b\"\"' " + vhdx + " " + raw);
    // 7-Zip refuses a disk of an odd number of sectors, also as qemu-img makes it.
    if (disk.size_bytes() % 1024 != 0) return;
    must_run(seven_zip + " t " + vhdx);
    must_run(seven_zip + " x -so " + vhdx + " 2>/dev/null | cmp - " + raw);
}

std::vector<uint64_t> places_of(const std::map<uint64_t, uint64_t>& runs) {
    std::vector<uint64_t> places;
    for (auto& [offset, length] : runs) places.push_back(offset);
    return places;
}

}  // namespace

TEST(VhdxView, dynamic_views_of_awkward_disks_satisfy_every_reader) {
    for (const AwkwardDisk& awkward : awkward_disks()) {
        SCOPED_TRACE(awkward.name);
        ScratchDir dir;
        auto disk = disk_of(awkward);
        auto view = view_of(disk, "dynamic");
        ASSERT_TRUE(view);
        EXPECT_EQ(view->size_bytes() % MiB, 0u);
        expect_consistent_reads(*view, 22);
        expect_clean(*view);
        expect_clients_read(dir, *disk, *view, places_of(awkward.runs));
    }
}

TEST(VhdxView, fixed_views_of_awkward_disks_satisfy_every_reader) {
    for (const AwkwardDisk& awkward : awkward_disks()) {
        if (awkward.size_bytes > GiB) continue;
        SCOPED_TRACE(awkward.name);
        ScratchDir dir;
        auto disk = disk_of(awkward);
        auto view = view_of(disk, "fixed");
        ASSERT_TRUE(view);
        expect_consistent_reads(*view, 23);
        expect_clean(*view);
        expect_clients_read(dir, *disk, *view, places_of(awkward.runs));
    }
}

TEST(VhdxView, every_block_size_works) {
    // Larger than a chunk of any block size (4 GiB), so that bitmap entries stand between payload entries.
    std::map<uint64_t, uint64_t> runs{{0, 512}, {4 * GiB - MiB, 2 * MiB}, {8 * GiB, 4096}, {9 * GiB, 512}};
    auto disk = pattern(9 * GiB + 512, runs);
    for (uint64_t block = MiB; block <= 256 * MiB; block *= 4) {
        SCOPED_TRACE(block);
        ScratchDir dir;
        auto view = view_of(disk, "dynamic", block);
        expect_clean(*view);
        expect_clients_read(dir, *disk, *view, places_of(runs));
    }
}

TEST(VhdxView, refuses_a_block_size_that_the_format_does_not_have) {
    for (uint64_t block : {uint64_t{65536}, 3 * MiB, 512 * MiB}) {
        ViewInput input{pattern(MiB, {}), {}, "disk.vhdx", block, &engine()};
        auto view = open_view(**find_view_kind(Format::vhdx, ""), input);
        ASSERT_FALSE(view);
        EXPECT_EQ(view.error().code, EINVAL);
    }
}

TEST(VhdxView, refuses_a_disk_over_64_tib) {
    ViewInput input{pattern(64 * TiB + 512, {}), {}, "disk.vhdx", 0, &engine()};
    for (const char* subformat : {"dynamic", "fixed"}) {
        auto view = open_view(**find_view_kind(Format::vhdx, subformat), input);
        ASSERT_FALSE(view);
        EXPECT_EQ(view.error().code, EFBIG);
    }
}

TEST(VhdxView, two_views_of_one_disk_are_equal) {
    auto disk = pattern(8 * MiB, {{MiB, 4096}});
    EXPECT_EQ(read_all(*view_of(disk, "dynamic")), read_all(*view_of(disk, "dynamic")));
}

TEST(VhdxView, holes_are_not_stored_and_said_to_be_holes) {
    auto view = view_of(pattern(64 * TiB, {{0, 4096}, {64 * TiB - 4096, 4096}}), "dynamic");
    EXPECT_LT(view->size_bytes(), 600 * MiB);
    uint64_t data = 0;
    ASSERT_TRUE(visit_extents(*view, 0, view->size_bytes(), [&](const Extent& e) {
        data += e.zero ? 0 : e.length;
        return true;
    }));
    EXPECT_LT(data, 64 * KiB);
}

TEST(VhdxView, a_full_disk_of_64_tib_reads_back_at_both_ends) {
    auto disk = pattern(64 * TiB, {{0, 64 * TiB}});
    for (const char* subformat : {"dynamic", "fixed"}) {
        auto view = view_of(disk, subformat);
        EXPECT_GT(view->size_bytes(), 64 * TiB);
        std::vector<std::byte> ours(MiB), theirs(MiB);
        ASSERT_TRUE(engine().read(*view, view->size_bytes() - MiB, ours));
        ASSERT_TRUE(engine().read(*disk, 64 * TiB - MiB, theirs));
        EXPECT_EQ(ours, theirs);
    }
}

}  // namespace hyper::test
