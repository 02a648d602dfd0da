// SPDX-License-Identifier: Apache-2.0
// Views: what qemu-img, our checker and our reader say of them.
#include <sys/resource.h>

#include "convert/qcow2/qcow2.h"
#include "tests/qcow2/qcow2_support.h"

namespace hyper {
namespace {

using test::ScratchDir;

Result<std::shared_ptr<const Source>> view_of(std::shared_ptr<const Source> disk, uint64_t cluster_bytes = 0) {
    ViewInput input;
    input.disk = std::move(disk);
    input.file_name = "disk.qcow2";
    input.cluster_bytes = cluster_bytes;
    input.engine = &test::engine();
    return open_view(**find_view_kind(Format::qcow2, ""), input);
}

// Written to a file, the view must please qemu-img and our checker, and read back as the disk.
void expect_good_view(const std::shared_ptr<const Source>& disk, uint64_t cluster_bytes) {
    ScratchDir scratch;
    auto view = view_of(disk, cluster_bytes);
    ASSERT_TRUE(view) << view.error().message;
    EXPECT_EQ((*view)->size_bytes() % (cluster_bytes == 0 ? 64 * KiB : cluster_bytes), 0u);
    std::string path = scratch.path("view.qcow2");
    test::write_sparse(**view, path);
    auto check = test::run("qemu-img check -f qcow2 " + path);
    EXPECT_EQ(check.status, 0) << check.output;
    EXPECT_NE(check.output.find("No errors were found"), std::string::npos) << check.output;
    test::expect_clean(path);
    auto image = test::open_good(path);
    ASSERT_TRUE(image);
    EXPECT_EQ(image->size_bytes(), round_up(disk->size_bytes(), 512));
    test::expect_same_content(*disk, *image);
    if (disk->size_bytes() < GiB) {
        test::write_sparse(*disk, scratch.path("disk.raw"));
        test::must_run("qemu-img compare -f raw -F qcow2 " + scratch.path("disk.raw") + " " + path);
    }
    test::expect_consistent_reads(**view, 3);
    auto again = view_of(disk, cluster_bytes);
    ASSERT_TRUE(again);
    test::expect_same_content(**view, **again);
}

TEST(Qcow2View, of_awkward_disks_compares_equal_and_checks_clean) {
    for (const test::AwkwardDisk& disk : test::awkward_disks()) {
        SCOPED_TRACE(disk.name);
        expect_good_view(test::pattern(disk.size_bytes, disk.runs), 0);
    }
}

TEST(Qcow2View, has_every_cluster_size) {
    for (uint64_t cluster_bytes : {512ul, 4096ul, 2 * MiB}) {
        SCOPED_TRACE(cluster_bytes);
        for (const test::AwkwardDisk& disk : test::awkward_disks())
            if (disk.size_bytes < GiB) expect_good_view(test::pattern(disk.size_bytes, disk.runs), cluster_bytes);
    }
}

TEST(Qcow2View, refuses_a_cluster_size_that_qcow2_does_not_have) {
    for (uint64_t cluster_bytes : {256ul, 65535ul, 4 * MiB}) {
        auto view = view_of(test::pattern(MiB, {}), cluster_bytes);
        ASSERT_FALSE(view);
        EXPECT_EQ(view.error().code, EINVAL);
        EXPECT_NE(view.error().message.find("cluster_size: " + std::to_string(cluster_bytes)), std::string::npos);
    }
}

TEST(Qcow2View, refuses_a_disk_whose_l1_table_would_be_too_large) {
    EXPECT_TRUE(view_of(test::pattern(128 * GiB, {}), 512));
    auto view = view_of(test::pattern(129 * GiB, {}), 512);
    ASSERT_FALSE(view);
    EXPECT_EQ(view.error().code, EFBIG);
    EXPECT_NE(view.error().message.find("L1 table"), std::string::npos) << view.error().message;
}

TEST(Qcow2View, refuses_a_disk_whose_refcount_table_would_be_too_large) {
    auto view = view_of(test::pattern(128 * GiB, {{0, 128 * GiB}}), 512);
    ASSERT_FALSE(view);
    EXPECT_EQ(view.error().code, EFBIG);
    EXPECT_NE(view.error().message.find("refcount table"), std::string::npos) << view.error().message;
}

TEST(Qcow2View, stores_no_cluster_that_is_a_hole) {
    auto view = view_of(test::pattern(5 * TiB, {{TiB, 64 * KiB}}));
    ASSERT_TRUE(view);
    // Header, refcount table and block, L1 (10240 entries), one L2 table, one data cluster.
    EXPECT_EQ((*view)->size_bytes(), (3 + 2 + 1 + 1) * 64 * KiB);
}

uint64_t peak_memory_bytes() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return static_cast<uint64_t>(usage.ru_maxrss) * KiB;
}

TEST(Qcow2View, of_a_full_64_tib_disk_needs_little_memory) {
    auto disk = test::pattern(64 * TiB, {{0, 64 * TiB}});
    uint64_t before = peak_memory_bytes();
    auto view = view_of(disk);
    ASSERT_TRUE(view) << view.error().message;
    EXPECT_LT(peak_memory_bytes() - before, 64 * MiB);

    // The tables, read from the view, lead from the last guest cluster to its place.
    auto load = [&](uint64_t offset) {
        be64 value;
        auto result = test::engine().read(**view, offset, bytes_of(value));
        EXPECT_TRUE(result) << (result ? "" : result.error().message);
        return uint64_t{value};
    };
    uint64_t l1 = load(test::field::l1_table_offset);
    uint64_t l2 = load(l1 + 131071 * 8);
    EXPECT_EQ(l2 >> 63, 1u);
    uint64_t data = load((l2 & qcow2::offset_mask) + 8191 * 8);
    EXPECT_EQ(data, ((*view)->size_bytes() - 64 * KiB) | qcow2::flag_copied);
    std::vector<std::byte> expected(4096), actual(4096);
    ASSERT_TRUE(test::engine().read(*disk, 64 * TiB - 4096, expected));
    ASSERT_TRUE(test::engine().read(**view, (*view)->size_bytes() - 4096, actual));
    EXPECT_EQ(expected, actual);
    EXPECT_LT(peak_memory_bytes() - before, 64 * MiB);
}

}  // namespace
}  // namespace hyper
