// SPDX-License-Identifier: Apache-2.0
// The checker: single faults poked into good files are found, and named.
#include "convert/qcow2/cluster_references.h"
#include "tests/qcow2/qcow2_support.h"

namespace hyper {
namespace {

using test::must_run;
using test::peek;
using test::poke;
namespace field = test::field;

class Qcow2Check : public ::testing::Test {
  protected:
    // Two data clusters at guest offset 0, a snapshot, then the second one written anew.
    void SetUp() override {
        image_ = scratch_.path("a.qcow2");
        must_run("qemu-img create -q -f qcow2 " + image_ + " 4M && qemu-io -f qcow2 -c 'write -P 1 0 128k' " + image_ +
                 " && qemu-img snapshot -c one " + image_ + " && qemu-io -f qcow2 -c 'write -P 2 64k 64k' " + image_);
        l1_ = peek<uint64_t>(image_, field::l1_table_offset);
        l2_ = peek<uint64_t>(image_, l1_) & qcow2::offset_mask;
        table_ = peek<uint64_t>(image_, field::refcount_table_offset);
        block_ = peek<uint64_t>(image_, table_);
        test::expect_clean(image_);
    }
    // Puts a number there, expects the finding, and restores it.
    template <class T>
    void expect_found(uint64_t offset, T value, const std::string& words) {
        T before = peek<T>(image_, offset);
        poke<T>(image_, offset, value);
        test::expect_found(image_, words);
        poke<T>(image_, offset, before);
    }

    test::ScratchDir scratch_;
    std::string image_;
    uint64_t l1_ = 0, l2_ = 0, table_ = 0, block_ = 0;
};

TEST_F(Qcow2Check, finds_faults_of_the_header) {
    expect_found<uint32_t>(0, 1, "header: magic 0x00000001");
    expect_found<uint32_t>(4, 9, "version 9");
    expect_found<uint32_t>(field::cluster_bits, 30, "cluster_bits: 30");
    expect_found<uint64_t>(field::size, 4 * MiB + 1, "size: 4194305");
    expect_found<uint32_t>(field::crypt_method, 3, "crypt_method: 3");
    expect_found<uint32_t>(field::l1_size, 0, "L1 table: 0 entries");
    expect_found<uint64_t>(field::l1_table_offset, 0, "L1 table: offset 0 overlaps the header");
    expect_found<uint64_t>(field::l1_table_offset, 100, "L1 table: offset 100");
    expect_found<uint64_t>(field::incompatible_features, uint64_t{1} << 40, "bit 40");
    expect_found<uint64_t>(field::incompatible_features, 1, "marked dirty");
    expect_found<uint64_t>(field::incompatible_features, 2, "marked corrupt");
    expect_found<uint64_t>(field::incompatible_features, 4, "data file");
    expect_found<uint32_t>(field::refcount_order, 7, "refcount_order: 7");
    expect_found<uint32_t>(field::header_length, 8, "header_length: 8");
    expect_found<uint8_t>(field::compression_type, 1, "compression_type: 1");
    expect_found<uint32_t>(field::refcount_table_clusters, 0, "refcount_table_clusters: 0");
    expect_found<uint64_t>(field::refcount_table_offset, l1_, "L1 table: offset");
    expect_found<uint32_t>(116, 70000, "header extension 0x6803f857: 70000 bytes");
}

TEST_F(Qcow2Check, finds_bad_l1_entries) {
    uint64_t good = peek<uint64_t>(image_, l1_);
    expect_found<uint64_t>(l1_, good ^ qcow2::flag_copied, "L1 table, entry 0: ");
    expect_found<uint64_t>(l1_, good | 1, "reserved bits");
    expect_found<uint64_t>(l1_, good + 512, "not a multiple");
    expect_found<uint64_t>(l1_, qcow2::flag_copied | uint64_t{1} << 40, "past the end of the file");
    expect_found<uint64_t>(l1_, qcow2::flag_copied | table_, "overlaps the refcount table");
    expect_found<uint64_t>(l1_, 0, "(leaked)");
}

TEST_F(Qcow2Check, finds_bad_l2_entries) {
    uint64_t shared = peek<uint64_t>(image_, l2_), own = peek<uint64_t>(image_, l2_ + 8);
    EXPECT_EQ(shared >> 63, 0u);
    EXPECT_EQ(own >> 63, 1u);
    expect_found<uint64_t>(l2_, shared | qcow2::flag_copied, "flagged copied, but 2 references");
    expect_found<uint64_t>(l2_ + 8, own ^ qcow2::flag_copied, "L2 table 0, entry 1: ");
    expect_found<uint64_t>(l2_ + 8, own | 4, "reserved bits");
    expect_found<uint64_t>(l2_ + 8, own + 512, "not a multiple");
    expect_found<uint64_t>(l2_ + 8, uint64_t{1} << 45, "past the end of the file");
    expect_found<uint64_t>(l2_ + 8, l2_, "overlaps an L2 table");
    expect_found<uint64_t>(l2_ + 8, block_, "overlaps a refcount block");
    expect_found<uint64_t>(l2_ + 16, own, "1 is stored, 2 references are there");
    expect_found<uint64_t>(l2_ + 16, qcow2::flag_copied, "flagged copied without a cluster");
    expect_found<uint64_t>(l2_ + 16, qcow2::flag_compressed | 512, "overlaps the header");
    expect_found<uint64_t>(l2_ + 16, qcow2::flag_compressed | uint64_t{1} << 40, "past the end of the file");
    expect_found<uint64_t>(l2_ + 16, qcow2::flag_compressed | qcow2::flag_copied | l2_, "is flagged copied");
}

TEST_F(Qcow2Check, finds_wrong_refcounts) {
    expect_found<uint16_t>(block_, 0, "refcount of cluster 0: 0 is stored, 1 references");
    expect_found<uint16_t>(block_ + 2, 2, "refcount of cluster 1: 2 is stored");
    expect_found<uint16_t>(block_ + 2000, 1, "refcount of cluster 1000: 1 is stored, 0 references are there (leaked)");
    expect_found<uint64_t>(table_, 0, "0 is stored, 1 references");
    expect_found<uint64_t>(table_ + 8, block_, "overlaps a refcount block");
    expect_found<uint64_t>(table_ + 8, block_ + 1, "reserved bits");
    expect_found<uint64_t>(table_ + 8, uint64_t{1} << 50, "past the end of the file");
}

TEST_F(Qcow2Check, finds_faults_of_snapshots) {
    uint64_t snapshots = peek<uint64_t>(image_, field::snapshots_offset);
    expect_found<uint32_t>(field::nb_snapshots, 70000, "nb_snapshots: 70000");
    expect_found<uint32_t>(field::nb_snapshots, 0, "(leaked)");
    expect_found<uint64_t>(field::snapshots_offset, uint64_t{1} << 40, "snapshot 0: its entry");
    expect_found<uint64_t>(snapshots, l1_, "snapshot 0, L1 table: offset");
    expect_found<uint32_t>(snapshots + 8, 0, "snapshot 0, L1 table: 0 entries");
    expect_found<uint32_t>(snapshots + 36, 8, "extra_data_size 8");
    uint64_t l1 = peek<uint64_t>(image_, snapshots);
    expect_found<uint64_t>(l1, 0, "(leaked)");
}

TEST_F(Qcow2Check, finds_an_l2_table_that_is_used_twice) {
    must_run("qemu-img create -q -f qcow2 " + image_ + " 1G && qemu-io -f qcow2 -c 'write -P 1 0 64k' " + image_);
    uint64_t l1 = peek<uint64_t>(image_, field::l1_table_offset);
    poke<uint64_t>(image_, l1 + 8, peek<uint64_t>(image_, l1));
    test::expect_found(image_, "L1 table, entry 1: refers to the same L2 table");
}

TEST_F(Qcow2Check, finds_contradicting_subcluster_bitmaps) {
    must_run("qemu-img create -q -f qcow2 -o extended_l2=on " + image_ + " 4M && qemu-io -f qcow2 -c 'write -P 1 0 64k' " +
             image_);
    uint64_t l2 = peek<uint64_t>(image_, peek<uint64_t>(image_, field::l1_table_offset)) & qcow2::offset_mask;
    expect_found<uint64_t>(l2 + 8, 0x00000001ffffffff, "both allocated and zero");
    expect_found<uint64_t>(l2, 0, "allocated without a cluster");
}

TEST_F(Qcow2Check, finds_faults_of_bitmaps) {
    must_run("qemu-img create -q -f qcow2 " + image_ + " 4M && qemu-img bitmap --add " + image_ +
             " daily && qemu-io -f qcow2 -c 'write -P 1 0 64k' " + image_);
    test::expect_clean(image_);
    uint64_t extension = 112;
    while (peek<uint32_t>(image_, extension) != qcow2::extension_bitmaps) extension += 8;
    uint64_t directory = peek<uint64_t>(image_, extension + 24), bitmap = peek<uint64_t>(image_, directory);
    expect_found<uint8_t>(directory + 17, 40, "bitmap 0: granularity_bits 40");
    expect_found<uint32_t>(directory + 12, 1, "in use");
    expect_found<uint64_t>(directory, 0, "bitmap 0, table: offset 0 overlaps the header");
    expect_found<uint64_t>(bitmap, uint64_t{1} << 40, "bitmap 0, entry 0");
    expect_found<uint64_t>(extension + 24, uint64_t{1} << 40, "bitmap directory");
}

TEST_F(Qcow2Check, reports_what_it_saw) {
    CheckReport report = test::check_file(image_);
    EXPECT_EQ(report.virtual_bytes, 4 * MiB);
    EXPECT_EQ(report.allocated_bytes, 128 * KiB);
    EXPECT_EQ(report.file_bytes, std::filesystem::file_size(image_));
}

TEST_F(Qcow2Check, checks_a_sparse_view_of_64_tib_without_a_copy) {
    ViewInput input;
    input.disk = test::pattern(64 * TiB, test::random_runs(2 * GiB, 64 * KiB, 0.5, 5));
    input.file_name = "disk.qcow2";
    auto view = open_view(**find_view_kind(Format::qcow2, ""), input);
    ASSERT_TRUE(view);
    auto report = check_image(test::engine(), **view, Format::qcow2);
    ASSERT_TRUE(report);
    EXPECT_EQ(report->error_count() + report->warning_count(), 0u) << test::text_of(*report);
}

TEST(ClusterReferences, fold_and_unfold_chunks) {
    qcow2::ClusterReferences references(100000);
    for (uint64_t cluster = 0; cluster < 100000; ++cluster) references.add(cluster, 1);
    EXPECT_EQ(references.count(0), 1u);
    EXPECT_EQ(references.count(99999), 1u);
    EXPECT_EQ(references.count(100000), 0u);
    references.add(99999, 2);
    EXPECT_EQ(references.count(99998), 1u);
    EXPECT_EQ(references.count(99999), 3u);
    references.add(5, 1000000);
    EXPECT_EQ(references.count(5), qcow2::ClusterReferences::count_max);
}

TEST(ClusterReferences, stop_at_their_limit) {
    qcow2::ClusterReferences references(uint64_t{1} << 30);
    for (uint64_t chunk = 0; chunk <= qcow2::ClusterReferences::unfolded_chunks_max; ++chunk) {
        EXPECT_FALSE(references.overflowed());
        references.add(chunk * 32768, 1);
    }
    EXPECT_TRUE(references.overflowed());
}

}  // namespace
}  // namespace hyper
