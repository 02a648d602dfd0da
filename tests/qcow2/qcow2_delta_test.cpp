// SPDX-License-Identifier: Apache-2.0
// Views of what changed between two states of a disk: overlays.
#include "convert/profile.h"
#include "convert/qcow2/qcow2.h"
#include "tests/qcow2/qcow2_support.h"
#include "tests/support/two_states.h"

namespace hyper {
namespace {

Result<std::shared_ptr<const Source>> overlay_of(std::shared_ptr<const DeltaSource> delta, uint64_t cluster_bytes = 0) {
    ViewInput input;
    input.disk = delta;
    input.delta = std::move(delta);
    input.file_name = "disk.qcow2";
    input.cluster_bytes = cluster_bytes;
    input.engine = &test::engine();
    return open_view(**find_view_kind(Format::qcow2, ""), input);
}

class Overlay : public testing::Test {
  protected:
    std::string path(const std::string& name) const { return scratch_.path(name); }
    // Writes base.raw (the state before), after.raw and overlay.qcow2.
    void write(const test::TwoStates& states, uint64_t cluster_bytes) {
        test::write_file(path("base.raw"), states.before->bytes());
        test::write_file(path("after.raw"), states.after->bytes());
        auto overlay = overlay_of(states.delta(), cluster_bytes);
        ASSERT_TRUE(overlay) << overlay.error().message;
        test::expect_consistent_reads(**overlay, 5);
        test::write_sparse(**overlay, path("overlay.qcow2"));
    }
    void put_over_base() {
        test::must_run("cd " + scratch_.dir().string() + " && qemu-img rebase -u -f qcow2 -b base.raw -F raw overlay.qcow2");
    }
    // Entries of the L2 table number `table` of overlay.qcow2.
    uint64_t entry(uint64_t table, uint64_t index) const {
        uint64_t l1 = test::peek<uint64_t>(path("overlay.qcow2"), test::field::l1_table_offset);
        uint64_t l2 = test::peek<uint64_t>(path("overlay.qcow2"), l1 + table * 8) & qcow2::offset_mask;
        return test::peek<uint64_t>(path("overlay.qcow2"), l2 + index * 8);
    }

    test::ScratchDir scratch_;
};

struct Shape {
    uint64_t size_bytes, block_bytes, cluster_bytes;
};

// Blocks smaller than, as large as and larger than a cluster; disks of odd sizes.
constexpr Shape shapes[] = {
    {6 * MiB, 4 * KiB, 0},           {6 * MiB, 64 * KiB, 0},      {40 * MiB, MiB, 0},          {5 * MiB + 512, 4 * KiB, 4 * KiB},
    {5 * MiB + 1000, 4 * KiB, 512},  {9 * MiB + 7, 64 * KiB, 0},  {9 * MiB, 64 * KiB, 2 * MiB},
};

TEST_F(Overlay, committed_by_qemu_gives_the_state_after) {
    for (const Shape& shape : shapes) {
        SCOPED_TRACE(testing::Message() << shape.size_bytes << " bytes, blocks " << shape.block_bytes << ", clusters " << shape.cluster_bytes);
        write(test::two_states(shape.size_bytes, shape.block_bytes, shape.size_bytes), shape.cluster_bytes);
        auto check = test::run("qemu-img check -f qcow2 " + path("overlay.qcow2"));
        EXPECT_NE(check.output.find("No errors were found"), std::string::npos) << check.output;
        test::expect_clean(path("overlay.qcow2"));
        put_over_base();
        test::must_run("qemu-img compare -f qcow2 -F raw " + path("overlay.qcow2") + " " + path("after.raw"));
        test::must_run("qemu-img commit -q -f qcow2 " + path("overlay.qcow2"));
        test::must_run("qemu-img compare -f raw -F raw " + path("base.raw") + " " + path("after.raw"));
    }
}

TEST_F(Overlay, over_its_base_reads_as_the_state_after_here_too) {
    test::TwoStates states = test::two_states(6 * MiB, 64 * KiB, 3);
    write(states, 0);
    put_over_base();
    auto image = test::open_good(path("overlay.qcow2"));
    ASSERT_TRUE(image);
    EXPECT_TRUE(test::read_all(*image) == states.after->bytes());
}

TEST_F(Overlay, stores_what_is_data_flags_what_is_zero_and_has_nothing_else) {
    // Clusters: 0 stays; 1 became data; 2 became zeros; 3 had its first block change to zeros, its second stays data;
    // 4 had its first block change to zeros, the rest was zeros; 5 stays zeros.
    auto disk = test::pattern(6 * 64 * KiB, {{0, 128 * KiB}, {196 * KiB, 4 * KiB}});
    auto states = DeltaSource::make(disk, {{64 * KiB, 64 * KiB}, {128 * KiB, 64 * KiB}, {192 * KiB, 4 * KiB}, {256 * KiB, 4 * KiB}});
    auto overlay = overlay_of(states);
    ASSERT_TRUE(overlay);
    test::write_sparse(**overlay, path("overlay.qcow2"));
    uint64_t end = (*overlay)->size_bytes();
    EXPECT_EQ(entry(0, 0), 0u);
    EXPECT_EQ(entry(0, 1), (end - 128 * KiB) | qcow2::flag_copied);
    EXPECT_EQ(entry(0, 2), qcow2::flag_zero);
    EXPECT_EQ(entry(0, 3), (end - 64 * KiB) | qcow2::flag_copied);
    EXPECT_EQ(entry(0, 4), qcow2::flag_zero);
    EXPECT_EQ(entry(0, 5), 0u);
}

TEST_F(Overlay, has_l2_tables_for_clusters_that_are_only_zeros) {
    auto delta = DeltaSource::make(test::pattern(GiB, {}), {{600 * MiB, 64 * KiB}});
    auto overlay = overlay_of(delta);
    ASSERT_TRUE(overlay);
    // Header, refcount table and block, L1, one L2 table.
    EXPECT_EQ((*overlay)->size_bytes(), 5 * 64 * KiB);
    test::write_sparse(**overlay, path("overlay.qcow2"));
    EXPECT_EQ(entry(1, 88 * MiB / (64 * KiB)), qcow2::flag_zero);
}

TEST_F(Overlay, of_nothing_that_changed_is_empty) {
    auto overlay = overlay_of(DeltaSource::make(test::pattern(MiB, {{0, MiB}}), {}));
    ASSERT_TRUE(overlay);
    EXPECT_EQ((*overlay)->size_bytes(), 4 * 64 * KiB);
}

TEST_F(Overlay, is_what_a_delta_is_served_as_besides_raw) {
    auto delta = DeltaSource::make(test::pattern(64 * MiB, {}), {{0, 4096}});
    for (const ViewKind& kind : view_kinds()) {
        ViewInput input;
        input.disk = input.delta = delta;
        input.file_name = "disk@1..2" + std::string(kind.suffix);
        input.engine = &test::engine();
        auto view = open_view(kind, input);
        bool served = kind.format == Format::raw || kind.format == Format::qcow2;
        EXPECT_EQ(view.has_value(), served) << kind.suffix;
        if (!view) EXPECT_NE(view.error().message.find("what changed between two states"), std::string::npos) << view.error().message;
        if (!view) EXPECT_EQ(view.error().code, EINVAL);
    }
}

TEST_F(Overlay, is_not_what_a_cloud_imports) {
    auto delta = DeltaSource::make(test::pattern(64 * MiB, {}), {{0, 4096}});
    for (const Profile& profile : profiles()) {
        ViewInput input;
        input.disk = input.delta = delta;
        input.engine = &test::engine();
        auto view = open_profile_view(profile, input);
        ASSERT_FALSE(view) << profile.name;
        EXPECT_NE(view.error().message.find("imports whole disks"), std::string::npos) << view.error().message;
    }
}

}  // namespace
}  // namespace hyper
