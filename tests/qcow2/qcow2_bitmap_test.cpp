// SPDX-License-Identifier: Apache-2.0
// Views with a persistent bitmap, as QEMU reads it.
#include <sstream>

#include "convert/qcow2/qcow2.h"
#include "tests/qcow2/qcow2_support.h"

namespace hyper {
namespace {

using Runs = std::vector<std::pair<uint64_t, uint64_t>>;

Result<std::shared_ptr<const Source>> view_of(std::shared_ptr<const Source> disk, const std::vector<ChangedRun>* dirty,
                                              uint64_t cluster_bytes) {
    ViewInput input;
    input.disk = std::move(disk);
    input.file_name = "disk.qcow2";
    input.cluster_bytes = cluster_bytes;
    input.engine = &test::engine();
    if (dirty != nullptr) input.bitmap = std::make_shared<const ViewInput::Bitmap>(ViewInput::Bitmap{"41", *dirty});
    return open_view(**find_view_kind(Format::qcow2, ""), input);
}

class Qcow2Bitmap : public testing::Test {
  protected:
    void write(const std::shared_ptr<const Source>& disk, const std::vector<ChangedRun>& dirty, uint64_t cluster_bytes = 0) {
        auto view = view_of(disk, &dirty, cluster_bytes);
        ASSERT_TRUE(view) << view.error().message;
        if ((*view)->size_bytes() < GiB) test::expect_consistent_reads(**view, 11);
        test::write_sparse(**view, path_);
    }
    // What qemu-nbd says is dirty.
    Runs dirty() const {
        auto told = test::run("nbdinfo --map=qemu:dirty-bitmap:41 -- [ qemu-nbd -r -f qcow2 -B 41 " + path_ + " ]");
        EXPECT_EQ(told.status, 0) << told.output;
        std::istringstream lines(told.output);
        Runs runs;
        uint64_t offset, length, type;
        for (std::string word; lines >> offset >> length >> type >> word;) {
            if (type != 1) continue;
            if (!runs.empty() && runs.back().first + runs.back().second == offset)
                runs.back().second += length;
            else
                runs.emplace_back(offset, length);
        }
        return runs;
    }

    test::ScratchDir scratch_;
    std::string path_ = scratch_.path("view.qcow2");
};

TEST_F(Qcow2Bitmap, tells_qemu_what_is_dirty_in_units_of_64_kib) {
    for (uint64_t cluster_bytes : {0ul, 512ul, 4 * KiB, 2 * MiB}) {
        SCOPED_TRACE(cluster_bytes);
        uint64_t size = 300 * MiB + 512;
        write(test::pattern(size, {{0, MiB}, {200 * MiB, MiB}}),
              {{0, 1}, {128 * KiB, 64 * KiB}, {5 * MiB - 1, 2}, {255 * MiB, 40 * MiB}, {size - 1, 1}}, cluster_bytes);
        EXPECT_EQ(dirty(), (Runs{{0, 64 * KiB}, {128 * KiB, 64 * KiB}, {5 * MiB - 64 * KiB, 128 * KiB}, {255 * MiB, 40 * MiB}, {300 * MiB, 512}}));
    }
}

TEST_F(Qcow2Bitmap, pleases_qemu_img_and_our_checker) {
    for (uint64_t cluster_bytes : {0ul, 512ul}) {
        write(test::pattern(300 * MiB, {{0, 3 * MiB}}), {{MiB, MiB}, {299 * MiB, MiB}}, cluster_bytes);
        auto check = test::run("qemu-img check -f qcow2 " + path_);
        EXPECT_NE(check.output.find("No errors were found"), std::string::npos) << check.output;
        test::expect_clean(path_);
        auto info = test::run("qemu-img info -f qcow2 " + path_);
        EXPECT_NE(info.output.find("name: 41\n            granularity: 65536"), std::string::npos) << info.output;
        EXPECT_EQ(info.output.find("in-use"), std::string::npos) << info.output;
        EXPECT_EQ(info.output.find("auto"), std::string::npos) << info.output;
    }
}

TEST_F(Qcow2Bitmap, of_nothing_that_changed_is_there_and_clean) {
    write(test::pattern(MiB, {{0, MiB}}), {});
    EXPECT_EQ(dirty(), Runs{});
    EXPECT_NE(test::run("qemu-img info " + path_).output.find("name: 41"), std::string::npos);
}

TEST_F(Qcow2Bitmap, of_a_large_disk_stores_only_what_is_not_clean) {
    auto disk = test::pattern(40 * TiB, {});
    std::vector<ChangedRun> dirty_runs{{0, 1}, {35 * TiB + 64 * KiB, 64 * KiB}};
    auto with = view_of(disk, &dirty_runs, 0), without = view_of(disk, nullptr, 0);
    ASSERT_TRUE(with && without);
    // Directory, table, two data clusters.
    EXPECT_EQ((*with)->size_bytes() - (*without)->size_bytes(), 4 * 64 * KiB);
    write(disk, dirty_runs);
    EXPECT_EQ(dirty(), (Runs{{0, 64 * KiB}, {35 * TiB + 64 * KiB, 64 * KiB}}));
}

TEST_F(Qcow2Bitmap, leaves_the_disk_as_it_is) {
    auto disk = test::pattern(5 * MiB + 512, {{MiB, MiB}, {4 * MiB, 100}});
    write(disk, {{0, MiB}});
    auto image = test::open_good(path_);
    ASSERT_TRUE(image);
    test::expect_same_content(*disk, *image);
    test::write_sparse(*disk, scratch_.path("disk.raw"));
    test::must_run("qemu-img compare -f raw -F qcow2 " + scratch_.path("disk.raw") + " " + path_);
}

}  // namespace
}  // namespace hyper
